"""What the log says, at INFO, of each way to be deaf: to the letter."""

from __future__ import annotations

import logging
import re

import pytest

from slipstream_actor import get_state
from slipstream_actor.protocol.hints import HINTS
from tests.integration.deaf import SECRET, WAYS
from tests.support.log_lines import listening

# `where` is the client's address, `port` its port, `client` its ref in words.
EXPECTED: dict[str, list[str]] = {
    "a wrong path": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 404; tries "
            "again in 60 s. Hint: Phoenix's path ends in /websocket, and this URI's does not: "
            'what the endpoint calls socket "/socket" is at ws://host/socket/websocket '
            "[troubleshooting#404]"
        ),
    ],
    "the path of another socket": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 404; tries "
            'again in 60 s. Hint: the endpoint has no such socket (what it calls socket "/socket"'
            " is at ws://host/socket/websocket), or another server answers at this host and port "
            "[troubleshooting#404]"
        ),
    ],
    "a refused token": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 403; tries "
            "again in 60 s. Hint: connect/3 of the server's socket said no (:error), or its "
            "check_origin does not know the Origin, or it does not speak this vsn; the server's "
            "log says which [troubleshooting#403]"
        ),
    ],
    "other credentials": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 401; tries "
            "again in 60 s. Hint: the server, or a proxy before it, wants other credentials: "
            "those of this client are in its params, its auth_token or its headers, and may be "
            "callables that fetch fresh ones [troubleshooting#401]"
        ),
    ],
    "a closed port": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1:{port}: Connection "
            "refused; tries again in 60 s. Hint: nothing listens on this port: is the server up, "
            "and is it this port? In a container localhost is the container itself "
            "[troubleshooting#refused]"
        ),
    ],
    "a certificate of strangers": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: unable to get local "
            "issuer certificate; tries again in 60 s. Hint: nobody whom this machine trusts has "
            "signed the certificate: for an authority of your own "
            'ssl_context=ssl.create_default_context(cafile="ca.pem"); else the server leaves out '
            "the certificates between its own and the authority's "
            "[troubleshooting#certificate-authority]"
        ),
    ],
    "a clock before the certificate": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: certificate is not "
            "yet valid; tries again in 60 s. Hint: the certificate is not valid yet by this "
            "machine's clock: is the clock right? [troubleshooting#clock]"
        ),
    ],
    "a certificate that has expired": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: certificate has "
            "expired; tries again in 60 s. Hint: the server's certificate has to be renewed, "
            "unless this machine's clock is ahead [troubleshooting#certificate-expired]"
        ),
    ],
    "a certificate of another name": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: IP address mismatch, "
            "certificate is not valid for '127.0.0.1'; tries again in 60 s. Hint: the server's "
            "certificate is one of other names: the URI has to have one of those "
            "[troubleshooting#certificate-name]"
        ),
    ],
    "http 2": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: the server chose "
            "HTTP/2 (ALPN h2); tries again in 60 s. Hint: the server has chosen HTTP/2, on which "
            'this client speaks no websocket: an ssl_context of your own offers "http/1.1" alone '
            "(set_alpn_protocols), and the server has to speak HTTP/1.1 [troubleshooting#http2]"
        ),
    ],
    "tls to a plain port": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: 127.0.0.1: [SSL: "
            "WRONG_VERSION_NUMBER] wrong version number; tries again in 60 s. Hint: the port does"
            " not speak TLS: the URI is to begin with ws:// there, and another port may be the one"
            " for TLS [troubleshooting#tls-not-expected]"
        ),
    ],
    "plain to a tls port": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the answer is TLS, and no HTTP; "
            "tries again in 60 s. Hint: the port speaks TLS: the URI begins with wss:// there, "
            "and another port may be the plain one [troubleshooting#tls-expected]"
        ),
    ],
    "a web page": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 200; tries "
            "again in 60 s. Hint: a web page answered, so there is no websocket at this path; "
            "Phoenix's ends in /websocket, and a proxy in between has to pass the headers Upgrade"
            " and Connection on [troubleshooting#plain-http]"
        ),
    ],
    "a redirect": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 302; tries "
            "again in 60 s. Hint: redirects are not followed, lest a token goes where they lead: "
            "the URI has to be that place itself (wss:// for ws://, another host or path) "
            "[troubleshooting#redirect]"
        ),
    ],
    "a gateway without a server": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 502; tries "
            "again in 60 s. Hint: a proxy or load balancer answered, and has no server behind it "
            "that does [troubleshooting#gateway]"
        ),
    ],
    "a busy server": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the server answered 503; tries "
            "again in 90 s. Hint: the server asks for a pause (Retry-After), and the default "
            "policy keeps it [troubleshooting#busy]"
        ),
    ],
    "a proxy in the way": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the proxy refused (code 407); "
            "tries again in 60 s. Hint: the proxy wants a user and a password: "
            "http://user:password@host:port as the option proxy, or in the environment "
            "(HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) [troubleshooting#proxy]"
        ),
    ],
    "no answer to the upgrade": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the upgrade took more than 0.2 "
            "s; tries again in 60 s. Hint: the port takes connections and does not answer: "
            "connect/3 or the server takes longer than connect_timeout_msec, or what listens "
            "there waits for something else (TLS: wss://) [troubleshooting#timeout-upgrade]"
        ),
    ],
    "the port of another service": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: the answer is no HTTP/1.1; tries"
            " again in 60 s. Hint: what listens there does not speak HTTP/1.1: the port may be of"
            " another service [troubleshooting#no-answer]"
        ),
    ],
    "params that fail": [
        (
            "WARNING Kitchen 'pantry' cannot connect to {where}: params raised LookupError; tries"
            " again in 60 s"
        ),
    ],
    "a join that is refused": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot join 'bench:stove': the server refused it: \"members "
            'only"; tries again in 60 s'
        ),
    ],
    "a join that is refused without a reason": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot join 'bench:stove': the server refused it: fields "
            "code, message; tries again in 60 s"
        ),
    ],
    "a topic misspelt": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot join 'bnech:stove': the server refused it: "
            '"unmatched topic"; tries again in 60 s. Hint: the server\'s socket has no channel for'
            ' this topic: is it spelt as in the server\'s channel "room:*", and does the URI lead '
            "to that socket? [troubleshooting#unmatched-topic]"
        ),
    ],
    "a join that crashes": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot join 'bench:stove': the server refused it: \"join "
            "crashed\"; tries again in 60 s. Hint: the channel's join/3 raised, or has no clause "
            "for this topic and these params; the server's log has the exception "
            "[troubleshooting#join-crashed]"
        ),
    ],
    "a join without an answer": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot join 'bench:stove': the server did not answer in "
            "time; tries again in 60 s. Hint: the channel's join/3 takes longer than "
            "join_timeout_msec, or another join of this connection does, for which this one waits"
            " [troubleshooting#join-timeout]"
        ),
    ],
    "a server that speaks v1": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot decode a message of {where}: V2Serializer raised "
            "SerializerError at an object. Hint: the server speaks V1, and this client V2: the "
            'option vsn="1.0.0" [troubleshooting#vsn]'
        ),
    ],
    "a wrong serializer": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' cannot decode a message of {where}: Rotten raised "
            "ValueError at an array. Hint: the server's serializer is another one than this "
            "client's: the options serializer and json_parser have to be its counterparts "
            "[troubleshooting#serializer]"
        ),
    ],
    "a channel that crashes": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' has lost 'test:good': the channel crashed: \"channel_crash\";"
            " tries again in 60 s. Hint: the channel's process on the server raised, mostly at a "
            "push that handle_in has no clause for; the server's log has the exception "
            "[troubleshooting#channel-crashed]"
        ),
    ],
    "a channel that the server closes": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        ("INFO Kitchen 'pantry' 'bench:stove' was left by the server"),
    ],
    "a lost connection": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' has lost its connection to {where}: the server closed it "
            '(1012, "restarting"); tries again in 60 s'
        ),
    ],
    "a heartbeat without an answer": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        (
            "WARNING Kitchen 'pantry' has lost its connection to {where}: the server did not "
            "answer a heartbeat; tries again in 60 s. Hint: the network or a proxy in between has"
            " forgotten the connection, or the server is stuck: while one channel's join runs, "
            "all of its connection waits [troubleshooting#heartbeat]"
        ),
    ],
    "an overridden handle disconnect": [
        ("INFO Away 'pantry' connected to {where}"),
        (
            "WARNING Away 'pantry' has lost its connection to {where}: it ended without a close "
            "frame (1006); does not try again"
        ),
        ("INFO Away 'pantry' stays disconnected: handle_disconnect asked for no other attempt"),
    ],
    "its own disconnect": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        ("INFO Kitchen 'pantry' stays disconnected: disconnect was called"),
    ],
    "a dead client": [
        ("INFO Kitchen 'pantry' connected to {where}"),
        ("ERROR {client} has crashed"),
    ],
    "a stuck callback": [
        ("INFO Kitchen 'pantry' connected to {where}"),
    ],
    "a name that is taken": [
        ("INFO Kitchen 'pantry' connected to {where}"),
    ],
}


@pytest.mark.parametrize("name", WAYS)
def test_the_log_says_what_is_the_matter(name: str) -> None:
    with listening() as lines:
        with WAYS[name]() as deaf:
            lines.wait_for(len(EXPECTED[name]))
            if deaf.client is not None and name not in ("a dead client", "a stuck callback"):
                get_state(deaf.client)  # What it is about is handled.
            texts = lines.texts()
        port = re.search(r":(\d+)/", deaf.where)
        put = {
            "where": deaf.where,
            "port": port[1] if port is not None else "",
            "client": str(deaf.client),
        }
        assert texts == [line.format_map(put) for line in EXPECTED[name]]
        for record in lines.records:
            assert SECRET not in f"{logging.Formatter().format(record)} {vars(record)}"


def test_there_are_more_than_21_ways_and_each_has_its_lines() -> None:
    assert len(WAYS) > 21
    assert list(EXPECTED) == list(WAYS)


def test_no_two_causes_say_the_same() -> None:
    said = [tuple(lines) for name, lines in EXPECTED.items()]
    # Of these two the log has nothing to say: the one is looked at with `get_state`, the other has
    # raised where it was started.
    silent = {"a stuck callback", "a name that is taken"}
    assert len(set(said)) == len(said) - len(silent) + 1


def test_what_is_hinted_at_is_in_the_table() -> None:
    anchors = {row.hint.anchor for row in HINTS}
    named = re.findall(r"\[troubleshooting#([a-z0-9-]+)\]", repr(EXPECTED))
    assert len(named) > 20
    assert set(named) <= anchors
