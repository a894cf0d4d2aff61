"""Configuration files as people may see them."""

from __future__ import annotations

from gantry.agent import config_diff, config_file
from gantry.preview import diff

PATH = "/mnt/services/a1/cfg/enstratus.cfg"


def test_a_difference_is_a_unified_diff() -> None:
    assert diff.unified(PATH, "[custom]\na=1\nb=2\n", "[custom]\na=1\nb=3\n") == (
        f"--- {PATH}",
        f"+++ {PATH}",
        "@@ -1,3 +1,3 @@",
        " [custom]",
        " a=1",
        "-b=2",
        "+b=3",
    )


def test_a_file_that_is_not_there_is_all_new() -> None:
    assert diff.unified(PATH, None, "a=1\n")[:1] == ("--- /dev/null",)


def test_comments_are_no_difference() -> None:
    assert diff.unified(PATH, "# at noon\na=1", "# at night\na=1") == ()


def test_a_changed_secret_is_said_and_an_unchanged_one_is_not_a_change() -> None:
    before, after = "[x]\npassword=old\nuser=a\n", "[x]\npassword=new\nuser=a\n"
    assert diff.unified(PATH, before, after)[3:] == (
        " [x]",
        "-password=(secret)",
        "+password=(secret, changed)",
        " user=a",
    )
    shown = diff.unified(PATH, "[x]\npassword=old\nuser=a\n", "[x]\npassword=old\nuser=b\n")
    assert " password=(secret)" in shown
    assert "-user=a" in shown


def test_keys_that_say_so_are_secret_and_so_is_the_value_of_a_secret_elsewhere() -> None:
    for key in (
        "dataSource.x.servicePassword",
        "dependency.DATA_SOURCE-1.password",
        "api_token",
        "API-KEY",
        "passwd",
    ):
        assert config_file.is_secret(key), key
    for key in ("dataSource.x.serviceUser", "port.1.publicPort", "greeting", "keyboard", "addresses"):
        assert not config_file.is_secret(key), key
    after = "dsn=mysql://shopper:s3same@db\nname=ab\nshort=ab\n"
    shown = diff.unified(PATH, "dsn=mysql://shopper:s3same@old\n", after, {"s3same", "ab"})
    assert shown[3:] == ("-dsn=(secret)", "+dsn=(secret, changed)", "+name=(secret)", "+short=(secret)")


def test_the_same_key_in_two_sections_is_two_facts() -> None:
    before = "[a]\npassword=1\n[b]\npassword=2\nx=1\n"
    after = "[a]\npassword=1\n[b]\npassword=3\nx=1\n"
    assert [line for line in diff.unified(PATH, before, after) if "password" in line] == [
        " password=(secret)",
        "-password=(secret)",
        "+password=(secret, changed)",
    ]


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    shown = "\n".join(diff.unified(PATH, "a=\x1b]0;title\x07\n", "a=1\n"))
    assert "\x1b" not in shown
    assert "-a=\ufffd]0;title\ufffd" in shown


def test_a_hash_tells_nobody_whether_he_has_guessed_a_password() -> None:
    first, second = "# at noon\n[x]\npassword=a\nuser=u\n", "[x]\npassword=b\nuser=u\n"
    assert config_diff.digest(first) == config_diff.digest(second)
    assert config_diff.digest(first) != config_diff.digest(first.replace("user=u", "user=v"))
    assert config_diff.digest("dsn=one", {"one", "two"}) == config_diff.digest("dsn=two", {"one", "two"})
