// What is measured of the page in a frame; the result is an attribute of the body.

const frame = document.querySelector("iframe");

function numbers(color) {
  const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
  return [red, green, blue, alpha];
}

function over(top, below) {
  return below.map((value, at) => top[at] * top[3] + value * (1 - top[3]));
}

function luminance(color) {
  const [red, green, blue] = color.map(value => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(element, style) {
  const isDark = frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches;
  const canvas = Array(3).fill(isDark ? 18 : 255);
  const above = [];
  for (let each = element; each; each = each.parentElement) above.unshift(each);
  const ground = above.reduce(
    (below, each) => over(numbers(style(each).backgroundColor), below), canvas);
  const opacity = above.reduce((all, each) => all * style(each).opacity, 1);
  const [red, green, blue, alpha] = numbers(style(element).color);
  const text = over([red, green, blue, alpha * opacity], ground);
  const [dark, light] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function isBroken(node, word) {
  const range = node.ownerDocument.createRange();
  range.setStart(node, word.index);
  range.setEnd(node, word.index + word[0].length);
  return new Set([...range.getClientRects()].map(place => place.top)).size > 1;
}

frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = [...page.body.querySelectorAll("*")];
  const isText = node => node.nodeType == 3 && node.data.trim();
  const texts = all.filter(
    each => [...each.childNodes].some(isText) && each.getClientRects().length);
  const style = each => view.getComputedStyle(each);
  const words = texts.flatMap(each => [...each.childNodes].filter(isText).flatMap(
    node => [...node.data.matchAll(/[^\s-]+/g)]
      .filter(word => isBroken(node, word)).map(word => word[0])));
  document.body.dataset.measured = JSON.stringify({
    "inner width": view.innerWidth,
    "scroll width": page.documentElement.scrollWidth,
    "too far right": all
      .filter(each => each.getBoundingClientRect().right > view.innerWidth + 0.5)
      .map(each => each.outerHTML.slice(0, 100)),
    "broken words": words,
    "smallest text": Math.min(...texts.map(each => parseFloat(style(each).fontSize))),
    "contrast": Math.min(...texts.map(each => contrast(each, style))),
    "is dark": view.matchMedia("(prefers-color-scheme: dark)").matches,
    "loaded": view.performance.getEntriesByType("resource").map(each => each.name),
  });
};
frame.srcdoc = frame.dataset.page;
