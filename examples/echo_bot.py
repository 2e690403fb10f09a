import asyncio

from chatd.client import Message, connect


async def main():
    async with connect(nick="echo", bot=True, cursor_file="echo.json") as chat:
        await chat.join("#lobby")
        async for event in chat.events():
            if isinstance(event, Message) and event.kind != "notice":
                await chat.answer(event, event.body, kind="notice")


asyncio.run(main())
