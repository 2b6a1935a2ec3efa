"""Rules of segments: CEL in, SQL out, and CEL's own evaluator beside it. See ``RULES.md`` for what a rule
means.
"""

from services.segmentation.rules.errors import ProfileError, RegistryError, RuleError, RuleTooLargeError
from services.segmentation.rules.evaluator import Outcome
from services.segmentation.rules.profile import (
    Event,
    Profile,
    StoredEvent,
    encode_attributes,
    encode_event,
    encode_traits,
    profile_row,
)
from services.segmentation.rules.registry import (
    Attribute,
    EventType,
    PayloadField,
    Registry,
    RuleFunction,
    Trait,
)
from services.segmentation.rules.rule import (
    BatchStatement,
    CompiledRule,
    PluginCall,
    batch_statement,
    compile_rule,
    pass_statement,
)
from services.segmentation.rules.sql.statements import Sweep

__all__ = [
    "Attribute",
    "BatchStatement",
    "CompiledRule",
    "Event",
    "EventType",
    "Outcome",
    "PayloadField",
    "PluginCall",
    "Profile",
    "ProfileError",
    "Registry",
    "RegistryError",
    "RuleError",
    "RuleFunction",
    "RuleTooLargeError",
    "StoredEvent",
    "Sweep",
    "Trait",
    "batch_statement",
    "compile_rule",
    "encode_attributes",
    "encode_event",
    "encode_traits",
    "pass_statement",
    "profile_row",
]
