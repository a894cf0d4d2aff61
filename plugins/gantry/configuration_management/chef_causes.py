"""Diagnosis of chef-client failures: the cause in one line, advice, and whether a retry may help.

The place of the failure decides first. A resource's own network error, however worded, is the recipe's: an error is
attributed to the Chef server only if it names the connection's server.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from gantry.configuration_management import chef_log

REBOOTS = {
    35: "a recipe has requested a reboot, which is in progress",
    37: "a recipe has found that the server needs a reboot",
}
"""Exit codes of a converged run that wants a reboot."""

_OTHER_CODES = {
    2: "it was interrupted (SIGINT)",
    3: "it was ended (SIGTERM)",
    41: "a recipe has requested a reboot, and the server cannot be rebooted",
    43: "its configuration is wrong",
    137: "it was killed (SIGKILL): by a person, or by the kernel because of low memory",
    172: "it refuses to run without its license",
    173: "its license does not permit running it",
    174: "it has no license",
    213: "it has replaced itself with another version",
}
_MOST_CAUSES = 10
"""Maximum number of causes of a run with several failures; Chef's explanations have all of them."""
_RESOURCE = re.compile(r"^(?:[A-Z][\w:]*: )?[a-z_][a-z_0-9]*\[")
_CLASS = re.compile(r"^([A-Z]\w*(?:::\w+)*)(?:: |$)")
_URL = re.compile(r"https?://[^\s'\")]+")
_NETWORK = re.compile(
    r"^(Errno::E(CONN\w+|HOSTUNREACH|NETUNREACH|TIMEDOUT|PIPE)|SocketError|EOFError|Timeout::Error|"
    r"Socket::ResolutionError|Net::(Open|Read|Write)Timeout|Net::HTTPFatalError|Net::HTTPServerException: \"?5\d\d|"
    r"OpenSSL::SSL::SSLError: SSL_connect (?!.*certificate))"
)
_DPKG = re.compile(
    r"(?:Could not get lock|Unable to acquire the dpkg frontend lock|Unable to lock)\b(?: directory)? ?\(?"
    r"(?P<file>/var/lib/(?:dpkg|apt)/[\w/-]+)?"
)
_HOLDER = re.compile(r"held by process (\d+) \(([^)]+)\)")
_ASKED_FOR = re.compile(r"^Failed to (load|list) .*data bag")
_REBOOT = re.compile(r"^Chef::Exceptions::Reboot(Pending)?(?!Failed)\b")
_STATUS = re.compile(r"^Net::HTTP\w+: \"?(?P<status>\d\d\d)\b")


@dataclasses.dataclass(frozen=True)
class Cause:
    """The diagnosis of a failure.

    Attributes:
        headline: Chef's final message, completed; or ours, if there is none.
        advice: what to do.
        transient: whether a retry may help.
        is_chefs: whether the headline is a FATAL line's.
    """

    headline: str
    advice: str
    transient: bool = False
    is_chefs: bool = True


@dataclasses.dataclass(frozen=True)
class Asked:
    """The arguments of chef-client."""

    url: str
    environment: str


def cause_of(told: chef_log.ChefReport, asked: Asked) -> Cause | None:
    """Return the cause of a failed run; None if chef-client printed nothing useful."""
    if told.code in _LICENSES:
        return Cause(_by_code(told.code), _LICENSES[told.code], is_chefs=False)
    if told.code in REBOOTS:
        return Cause(_by_code(told.code), _AFTER_REBOOT, is_chefs=False)
    return _of_the_last_word(told.fatal[-1], told, asked) if told.fatal else _unspoken(told)


def _of_the_last_word(fatal: str, told: chef_log.ChefReport, asked: Asked) -> Cause:
    if _REBOOT.match(fatal):
        return Cause(fatal, _AFTER_REBOOT)
    block = told.blocks[-1] if told.blocks else None
    if _RESOURCE.match(fatal):
        return _of_a_resource(fatal, block, asked)
    if fatal.startswith("Chef::Exceptions::MultipleFailures") and told.causes:
        return Cause(f"{fatal} {'; '.join(told.causes[:_MOST_CAUSES])}", _MEND)
    if block is not None and block.title.startswith("Recipe Compile Error"):
        return _of_a_recipe(fatal, block, told, asked)
    return _of_the_server(fatal, block, asked)


def _by_code(code: int | None) -> str:
    said = f"chef-client ended with exit code {code}"
    known = meaning(code)
    return f"{said}: {known}" if known else said


def meaning(code: int | None) -> str | None:
    """Return the meaning of an exit code on its own; None if it has none."""
    return (REBOOTS | _OTHER_CODES).get(code or 0)


def _unspoken(told: chef_log.ChefReport) -> Cause | None:
    """Diagnose a failure without a relevant FATAL line: `exit` in a recipe, a kill, or no chef-client at all."""
    if told.code is None:
        return None
    if not told.blocks:
        if told.code == 1 and told.errors and _ABOUT_LICENSES.search(told.errors[-1]):
            # Its licensing ends the run without a FATAL line.
            return Cause(f"{_by_code(1)}: {told.errors[-1]}", _LICENSE_KEY, is_chefs=False)
        known = told.code in _OTHER_CODES
        return Cause(_by_code(told.code), _LOOK, is_chefs=False) if known else None
    block = told.blocks[-1]
    # Not the code's usual meaning: `exit 3` in a recipe is not a signal.
    return Cause(f"chef-client ended with exit code {told.code}: {_gist(block)}", _MEND, is_chefs=False)


def _gist(block: chef_log.Block) -> str:
    """Summarize a block in one line: the error, and where."""
    heading, text = block.sections[0] if block.sections else ("", "")
    said = ": ".join(each for each in (heading.rstrip(":"), text.partition("\n")[0]) if each)
    return f"{said} ({block.title})" if said else block.title


def _of_a_resource(fatal: str, block: chef_log.Block | None, asked: Asked) -> Cause:
    everything = "\n".join([fatal, *(text for _, text in (block.sections if block else ()))])
    if lock := _DPKG.search(everything):
        holder = _HOLDER.search(everything)
        who = f"process {holder[1]} ({holder[2]})" if holder else "another program"
        return Cause(
            fatal,
            f"{who} on the server holds the lock of its packages ({lock['file'] or 'dpkg'}), as happens after the "
            f"first boot. It is released after a while.",
            transient=True,
        )
    inner = fatal.partition(" had an error: ")[2]
    if not inner and block is not None:
        # The resource's name has a line break, where the final message ends.
        fatal = f"{fatal} … {_gist(block)}"
    if _NETWORK.match(inner) and _is_ours(inner, asked.url):
        return Cause(fatal, _UNREACHABLE, transient=True)
    return Cause(fatal, _MEND)


def _of_a_recipe(fatal: str, block: chef_log.Block, told: chef_log.ChefReport, asked: Asked) -> Cause:
    missing = next((each for each in reversed(told.errors) if _ASKED_FOR.match(each)), None)
    where = block.title.removeprefix("Recipe Compile Error").strip()
    if _NETWORK.match(fatal) and (missing or _is_ours(fatal, asked.url)):
        return Cause(fatal, _UNREACHABLE, transient=True)
    if missing is not None:
        return Cause(
            f"{fatal}: {missing}", "upload the data bag item, or correct the recipe; then clear this task."
        )
    status = _STATUS.match(fatal)
    if status:
        return Cause(f"{fatal} {where}".strip(), _MEND)
    return Cause(fatal, _MEND)


def _is_ours(text: str, url: str) -> bool:
    """Return whether a text names the Chef server: the same scheme, host and port."""
    wanted = _origin(url)
    return any(_origin(found) == wanted for found in _URL.findall(text))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return url, None, None
    return parts.scheme, parts.hostname, port


def _of_the_server(fatal: str, block: chef_log.Block | None, asked: Asked) -> Cause:
    """Diagnose a failure before the recipes: of a request to the Chef server, or of its contents."""
    said = "\n".join([fatal, *(text for _, text in (block.sections if block else ()))])
    if _NETWORK.match(fatal):
        return Cause(fatal, _UNREACHABLE, transient=True)
    for pattern, advice in _BEFORE_RECIPES:
        if pattern.search(said):
            return Cause(f"{fatal}{_missing(block)}", advice)
    status = _STATUS.match(fatal)
    at_the_door = block is not None and "encountered an error attempting to" in block.title
    if status and status["status"] == "404" and at_the_door and asked.environment not in ("_default", "NULL"):
        return Cause(
            fatal,
            f"the Chef server has no environment {asked.environment!r}, or {asked.url} is not the URL of its "
            f"organization. Create the environment, or correct definition or connection, and clear this task.",
        )
    if at_the_door or "JSON" in fatal:
        return Cause(
            fatal,
            f"the server at {asked.url} does not answer like a Chef server. Correct the URL in the connection (with "
            f"/organizations/NAME where the server has organizations), and clear this task.",
        )
    if status and status["status"] == "404":
        return Cause(
            fatal,
            "the Chef server has no such object. Upload it, or correct the definition, and clear this task.",
        )
    return Cause(fatal, _MEND)


def _missing(block: chef_log.Block | None) -> str:
    """Return what the final message omits: names of cookbooks and roles."""
    for heading in ("Missing Cookbooks:", "Cookbook dependency resolution error:"):
        if block and (text := block.section(heading)):
            lines = text.splitlines()
            names = [line.removeprefix("* ") for line in lines if line.startswith("* ")] or lines[:1]
            return f": {', '.join(names)}"
    return ""


_MEND = "correct the cookbook or the attributes, upload what changed, and clear this task."
_LOOK = "look at the log above and at the server, and clear this task."
_AFTER_REBOOT = (
    "the server has converged and has to be rebooted. Let reboot under chef in the launch configuration be true, "
    "which has it rebooted and chef-client run again; or reboot it, and clear this task."
)
_UNREACHABLE = "the Chef server cannot be reached from this server, or reports an error."
_LICENSE = (
    "the license of Chef Infra Client is not accepted on this server. If you accept it, write accept_license: true "
    "under chef in the launch configuration, and clear this task."
)
_LICENSE_KEY = (
    "this distribution of Chef Infra Client asks for a license. Give the connection a License key, or a License server "
    "that this server reaches, or use Chef's own packages, which ask for none. Then clear "
    "prepare_configuration_management with what follows."
)
_LICENSES = {172: _LICENSE, 173: _LICENSE_KEY, 174: _LICENSE_KEY}
_ABOUT_LICENSES = re.compile(r"licen[sc]", re.IGNORECASE)
_BEFORE_RECIPES = (
    (
        re.compile(r"check your system'?s clock|synchronize the clock|your clock has drifted", re.IGNORECASE),
        "the clocks of this server and of the Chef server differ by more than 15 minutes. Set the server's clock "
        "(NTP), and clear this task.",
    ),
    (
        re.compile(r"There may already be a client named", re.IGNORECASE),
        "a client of this name is registered, and this server does not have its key (it was lost, or it belonged to a "
        "former server). Give the connection an admin key and clear prepare_configuration_management with what "
        "follows, which removes it; or remove the client and the node by hand, and clear this task.",
    ),
    (
        re.compile(r"^Net::HTTP\w+: \"?401|Failed to authenticate"),
        "the Chef server does not accept the key. For a new node: check the validation client's name and key in the "
        "connection. For a known one: its /etc/chef/client.pem is not the one that the Chef server knows; remove it, "
        "and clear prepare_configuration_management with what follows.",
    ),
    (
        re.compile(r"nonexistent roles|MissingRole"),
        "upload the role to the Chef server, or correct the tier's run_list; then clear this task.",
    ),
    (
        re.compile(r"^Net::HTTP\w+: \"?412|No such cookbook|Precondition Failed"),
        "a cookbook of the run list, or one that it depends on, is not on the Chef server, or in no version that is "
        "allowed. Upload it, and clear this task.",
    ),
    (
        re.compile(r"^Net::HTTP\w+: \"?403"),
        "the Chef server knows this node, but denies it access. Check the client's permissions, and clear this task.",
    ),
    (
        re.compile(r"certificate verify failed"),
        "the Chef server's certificate is not trusted. Put it into the connection's field Trusted certificate, and "
        "clear prepare_configuration_management with what follows.",
    ),
    (
        re.compile(r"PrivateKeyMissing|InvalidPrivateKey"),
        "the node has no usable key. Check the validation key in the connection, and clear this task.",
    ),
    (
        re.compile(
            r"Policyfile does not work|loading policyfile|policy_(name|group)",
            re.IGNORECASE,
        ),
        "check policy_name and policy_group under chef in the launch configuration, and that the policy is on the Chef "
        "server (knife list policies, chef push). Then clear this task.",
    ),
)
"""Searched in the FATAL line, and in the block above it, of a failure outside of recipes."""
