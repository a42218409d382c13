"""OpenFeature's OFREP provider for Python, against a real server with the flags of flags.json.

TIDEGATE_URL and TIDEGATE_SDK_KEY name the server and a server key.
"""

import os

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

URL, KEY = os.environ["TIDEGATE_URL"], os.environ["TIDEGATE_SDK_KEY"]
ADA = EvaluationContext("ada", {"country": "CA", "plans": ["pro", None], "nested": {"list": [1, "x"]}})
FRANCE = EvaluationContext("ada", {"country": "FR"})
NOBODY = EvaluationContext()


def client(domain, key):
    api.set_provider_and_wait(OFREPProvider(URL, headers_factory=lambda: {"Authorization": f"Bearer {key}"}), domain)
    return api.get_client(domain)


def check(details, value, variant, reason, error=None):
    found = (details.value, details.variant, details.reason, details.error_code)
    assert found == (value, variant, reason, error), f"{details.flag_key}: {found}: {details.error_message}"
    # In Python, True == 1 == 1.0.
    assert type(details.value) is type(value), f"{details.flag_key}: {details.value!r}"


flags = client("shop", KEY)
check(flags.get_boolean_details("new-checkout", False, ADA), True, "on", "STATIC")
check(flags.get_boolean_details("new-checkout", False), True, "on", "STATIC")
check(flags.get_boolean_details("discount-banner", False, ADA), True, "on", "TARGETING_MATCH")
check(flags.get_boolean_details("discount-banner", True, NOBODY), False, "off", "DEFAULT")
check(flags.get_string_details("theme-color", "red", ADA), "blue", "blue", "STATIC")
check(flags.get_string_details("switched-off", "red", ADA), "classic", "classic", "DISABLED")
check(flags.get_integer_details("threshold", 7, ADA), 35, "low", "DEFAULT")
check(flags.get_float_details("threshold", 7.5, FRANCE), 49.5, "high", "TARGETING_MATCH")
recommendations = {"model": "embedding-v2", "limits": {"items": 12, "boost": 1.5}, "fallback": None}
check(flags.get_object_details("recommendations", {}, ADA), recommendations, "new", "STATIC")
check(flags.get_object_details("plans", [], ADA), ["basic", {"name": "pro"}], "two", "STATIC")
half = flags.get_boolean_details("half", False, ADA)
check(half, half.value, "on" if half.value else "off", "SPLIT")
assert half.flag_metadata["version"] > 0, half.flag_metadata

# The application's default, whatever the reason. The provider takes a missing variant for an error (`KeyError`), and
# a whole number for an integer only.
check(flags.get_boolean_details("left-to-callers", True, ADA), True, None, "ERROR", "GENERAL")
check(flags.get_float_details("threshold", 7.5, ADA), 7.5, None, "ERROR", "TYPE_MISMATCH")
check(flags.get_string_details("new-checkout", "mine", ADA), "mine", None, "ERROR", "TYPE_MISMATCH")
check(flags.get_boolean_details("never-made", True, ADA), True, None, "ERROR", "FLAG_NOT_FOUND")
check(flags.get_boolean_details("no flag/at all", True, ADA), True, None, "ERROR", "FLAG_NOT_FOUND")
check(flags.get_boolean_details("half", True, NOBODY), True, None, "ERROR", "TARGETING_KEY_MISSING")

check(client("stranger", "tgs_wrong").get_boolean_details("new-checkout", False, ADA), False, None, "ERROR", "GENERAL")
api.shutdown()
