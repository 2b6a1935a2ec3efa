from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class MembershipChanged(_message.Message):
    __slots__ = ("segment", "version")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    segment: str
    version: int
    def __init__(self, segment: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...
