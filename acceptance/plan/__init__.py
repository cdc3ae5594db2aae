"""What is to be done, before anything is: options, lines to observe, prices. Pure."""
