"""Tells `twistd` that there is a chatd; nothing else, and nothing that imports the reactor."""

from twisted.application.service import ServiceMaker

chatd = ServiceMaker(  # type: ignore[no-untyped-call]  # the framework's class has no types
    name="chatd",
    module="chatd.tap",
    description="A chat server that everyone can join.",
    tapname="chatd",
)
