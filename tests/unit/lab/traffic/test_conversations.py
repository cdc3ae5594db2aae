"""What a client takes for an acknowledgement, and what not."""

import asyncio

import pytest

from lab.traffic.conversations import END, START, Conversation, HttpConversation
from lab.traffic.messages import NotAcknowledgedError

STORED = "MSH|^~\\&|R|V|S|C|20260101||ACK|1|P|2.5\rMSA|AA|{}|app-1 9004\r"
GOOD, BAD = "HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"


def http(status: str, body: str) -> bytes:
    return f"{status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


async def exchanged(conversation: Conversation, *parts: bytes) -> None:
    """Send a message with the id ``a``; parts of what comes back arrive."""
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    await loop.create_connection(lambda: conversation, *address)
    try:
        await conversation.exchange("a", 1)
    finally:
        conversation.close()
        server.close()


def test_mllp_is_acknowledged() -> None:
    answer = START + STORED.format("a").encode() + END
    asyncio.run(exchanged(Conversation(), answer[:9], answer[9:]))


def test_http_is_acknowledged() -> None:
    answer = http(GOOD, STORED.format("a"))
    asyncio.run(exchanged(HttpConversation(), answer[:50], answer[50:]))


@pytest.mark.parametrize(
    "answer",
    [
        http(BAD, "<html>No server is available</html>"),
        http(BAD, STORED.format("a")),
        http(GOOD, STORED.format("b")),
        http(GOOD, ""),
    ],
)
def test_http_of_somebody_else_is_not(answer: bytes) -> None:
    with pytest.raises(NotAcknowledgedError):
        asyncio.run(exchanged(HttpConversation(), answer))
