from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CaseChanged(_message.Message):
    __slots__ = ("case", "queue", "assignee", "promise")
    CASE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    case: str
    queue: str
    assignee: str
    promise: str
    def __init__(self, case: _Optional[str] = ..., queue: _Optional[str] = ..., assignee: _Optional[str] = ..., promise: _Optional[str] = ...) -> None: ...

class ReplyRequested(_message.Message):
    __slots__ = ("case", "message")
    CASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    case: str
    message: str
    def __init__(self, case: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CsatAnswered(_message.Message):
    __slots__ = ("case", "score")
    CASE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    case: str
    score: int
    def __init__(self, case: _Optional[str] = ..., score: _Optional[int] = ...) -> None: ...

class UnsubscribeRequested(_message.Message):
    __slots__ = ("channel", "topic")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    channel: str
    topic: str
    def __init__(self, channel: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class TaskChanged(_message.Message):
    __slots__ = ("task", "queue", "assignee", "case", "dropped")
    TASK_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    task: str
    queue: str
    assignee: str
    case: str
    dropped: bool
    def __init__(self, task: _Optional[str] = ..., queue: _Optional[str] = ..., assignee: _Optional[str] = ..., case: _Optional[str] = ..., dropped: _Optional[bool] = ...) -> None: ...
