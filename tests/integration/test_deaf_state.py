"""What the state and an error say of each way to be deaf: to the letter, but for ports and times.

The state is what `get_state` has of the client's socket, the error that of `wait_until_joined`:
whoever has one of them knows the cause.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from slipstream_actor import SlipstreamError, get_state, wait_until_joined
from tests.integration.deaf import SECRET, WAYS, Deaf
from tests.support.clients import eventually

SOON = 0.1

# Of each the state and the error; of a name that is taken what `start` has raised.
EXPECTED: dict[str, tuple[str, str]] = {
    "a wrong path": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 404>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 404 "
        "(hint: Phoenix's path ends in /websocket, and this URI's does not: what the "
        'endpoint calls socket "/socket" is at ws://host/socket/websocket '
        "[troubleshooting#404]); 'bench:stove' is requested",
    ),
    "the path of another socket": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 404>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 404 "
        '(hint: the endpoint has no such socket (what it calls socket "/socket" is at '
        "ws://host/socket/websocket), or another server answers at this host and port "
        "[troubleshooting#404]); 'bench:stove' is requested",
    ),
    "a refused token": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 403>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 403 "
        "(hint: connect/3 of the server's socket said no (:error), or its check_origin "
        "does not know the Origin, or it does not speak this vsn; the server's log says "
        "which [troubleshooting#403]); 'bench:stove' is requested",
    ),
    "other credentials": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 401>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 401 "
        "(hint: the server, or a proxy before it, wants other credentials: those of this "
        "client are in its params, its auth_token or its headers, and may be callables "
        "that fetch fresh ones [troubleshooting#401]); 'bench:stove' is requested",
    ),
    "a closed port": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1:PORT: Connection refused>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1:PORT: "
        "Connection refused (hint: nothing listens on this port: is the server up, and is "
        "it this port? In a container localhost is the container itself "
        "[troubleshooting#refused]); 'bench:stove' is requested",
    ),
    "a certificate of strangers": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: unable to get local issuer certificate>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: unable to get "
        "local issuer certificate (hint: nobody whom this machine trusts has signed the "
        "certificate: for an authority of your own "
        'ssl_context=ssl.create_default_context(cafile="ca.pem"); else the server leaves '
        "out the certificates between its own and the authority's "
        "[troubleshooting#certificate-authority]); 'bench:stove' is requested",
    ),
    "a clock before the certificate": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: certificate is not yet valid>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: certificate "
        "is not yet valid (hint: the certificate is not valid yet by this machine's "
        "clock: is the clock right? [troubleshooting#clock]); 'bench:stove' is requested",
    ),
    "a certificate that has expired": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: certificate has expired>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: certificate "
        "has expired (hint: the server's certificate has to be renewed, unless this "
        "machine's clock is ahead [troubleshooting#certificate-expired]); 'bench:stove' is "
        "requested",
    ),
    "a certificate of another name": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: IP address mismatch, certificate is not valid for '127.0.0.1'>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: IP address "
        "mismatch, certificate is not valid for '127.0.0.1' (hint: the server's "
        "certificate is one of other names: the URI has to have one of those "
        "[troubleshooting#certificate-name]); 'bench:stove' is requested",
    ),
    "http 2": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: the server chose HTTP/2 (ALPN h2)>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: the server "
        "chose HTTP/2 (ALPN h2) (hint: the server has chosen HTTP/2, on which this client "
        'speaks no websocket: an ssl_context of your own offers "http/1.1" alone '
        "(set_alpn_protocols), and the server has to speak HTTP/1.1 "
        "[troubleshooting#http2]); 'bench:stove' is requested",
    ),
    "tls to a plain port": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: 127.0.0.1: [SSL: WRONG_VERSION_NUMBER] wrong version number>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: 127.0.0.1: [SSL: "
        "WRONG_VERSION_NUMBER] wrong version number (hint: the port does not speak TLS: "
        "the URI is to begin with ws:// there, and another port may be the one for TLS "
        "[troubleshooting#tls-not-expected]); 'bench:stove' is requested",
    ),
    "plain to a tls port": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the answer is TLS, and no HTTP>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the answer is TLS, and "
        "no HTTP (hint: the port speaks TLS: the URI begins with wss:// there, and another "
        "port may be the plain one [troubleshooting#tls-expected]); 'bench:stove' is "
        "requested",
    ),
    "a web page": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 200>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 200 "
        "(hint: a web page answered, so there is no websocket at this path; Phoenix's ends "
        "in /websocket, and a proxy in between has to pass the headers Upgrade and "
        "Connection on [troubleshooting#plain-http]); 'bench:stove' is requested",
    ),
    "a redirect": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 302>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 302 "
        "(hint: redirects are not followed, lest a token goes where they lead: the URI has "
        "to be that place itself (wss:// for ws://, another host or path) "
        "[troubleshooting#redirect]); 'bench:stove' is requested",
    ),
    "a gateway without a server": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 502>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 502 "
        "(hint: a proxy or load balancer answered, and has no server behind it that does "
        "[troubleshooting#gateway]); 'bench:stove' is requested",
    ),
    "a busy server": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the server answered 503>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server answered 503 "
        "(hint: the server asks for a pause (Retry-After), and the default policy keeps it "
        "[troubleshooting#busy]); 'bench:stove' is requested",
    ),
    "a proxy in the way": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the proxy refused (code 407)>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the proxy refused (code "
        "407) (hint: the proxy wants a user and a password: http://user:password@host:port "
        "as the option proxy, or in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) "
        "[troubleshooting#proxy]); 'bench:stove' is requested",
    ),
    "no answer to the upgrade": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the upgrade took more than N s>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the upgrade took more "
        "than N s (hint: the port takes connections and does not answer: connect/3 or the "
        "server takes longer than connect_timeout_msec, or what listens there waits for "
        "something else (TLS: wss://) [troubleshooting#timeout-upgrade]); 'bench:stove' is "
        "requested",
    ),
    "the port of another service": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: the answer is no HTTP/1.1>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the answer is no "
        "HTTP/1.1 (hint: what listens there does not speak HTTP/1.1: the port may be of "
        "another service [troubleshooting#no-answer]); 'bench:stove' is requested",
    ),
    "params that fail": (
        "<Socket waiting {where} again in N s, topics {bench:stove: requested}, last "
        "failure: params raised LookupError>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: params raised "
        "LookupError; 'bench:stove' is requested",
    ),
    "a join that is refused": (
        "<Socket connected {where}, topics {bench:stove: closed (the server refused it: "
        '"members only")}>',
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is closed: the server refused it: \"members only\"; it is "
        "asked for again in N s",
    ),
    "a join that is refused without a reason": (
        "<Socket connected {where}, topics {bench:stove: closed (the server refused it: "
        "fields code, message)}>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is closed: the server refused it: fields code, message; it "
        "is asked for again in N s",
    ),
    "a topic misspelt": (
        "<Socket connected {where}, topics {bnech:stove: closed (the server refused it: "
        '"unmatched topic")}>',
        "awaited Kitchen 'pantry' joining 'bnech:stove' for N s: it is connected to "
        "{where}; 'bnech:stove' is closed: the server refused it: \"unmatched topic\" "
        "(hint: the server's socket has no channel for this topic: is it spelt as in the "
        'server\'s channel "room:*", and does the URI lead to that socket? '
        "[troubleshooting#unmatched-topic]); it is asked for again in N s",
    ),
    "a join that crashes": (
        "<Socket connected {where}, topics {bench:stove: closed (the server refused it: "
        '"join crashed")}>',
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is closed: the server refused it: \"join crashed\" (hint: "
        "the channel's join/3 raised, or has no clause for this topic and these params; "
        "the server's log has the exception [troubleshooting#join-crashed]); it is asked "
        "for again in N s",
    ),
    "a join without an answer": (
        "<Socket connected {where}, topics {bench:stove: closed (the server did not answer "
        "in time)}>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is closed: the server did not answer in time (hint: the "
        "channel's join/3 takes longer than join_timeout_msec, or another join of this "
        "connection does, for which this one waits [troubleshooting#join-timeout]); it is "
        "asked for again in N s",
    ),
    "a server that speaks v1": (
        "<Socket connected {where}, topics {bench:stove: requested}, 1 message of the "
        "server could not be decoded: V2Serializer raised SerializerError at an object>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is requested; 1 message of the server could not be "
        "decoded: V2Serializer raised SerializerError at an object (hint: the server "
        'speaks V1, and this client V2: the option vsn="1.0.0" [troubleshooting#vsn])',
    ),
    "a wrong serializer": (
        "<Socket connected {where}, topics {bench:stove: requested}, 1 message of the "
        "server could not be decoded: Rotten raised ValueError at an array>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is requested; 1 message of the server could not be "
        "decoded: Rotten raised ValueError at an array (hint: the server's serializer is "
        "another one than this client's: the options serializer and json_parser have to be "
        "its counterparts [troubleshooting#serializer])",
    ),
    "a channel that crashes": (
        "<Socket connected {where}, topics {test:good: closed (the channel crashed: "
        '"channel_crash")}>',
        "awaited Kitchen 'pantry' joining 'test:good' for N s: it is connected to {where}; "
        "'test:good' is closed: the channel crashed: \"channel_crash\" (hint: the "
        "channel's process on the server raised, mostly at a push that handle_in has no "
        "clause for; the server's log has the exception "
        "[troubleshooting#channel-crashed]); it is asked for again in N s",
    ),
    "a channel that the server closes": (
        "<Socket connected {where}, topics {bench:stove: closed (closed by the server)}>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is connected to "
        "{where}; 'bench:stove' is closed: closed by the server",
    ),
    "a lost connection": (
        "<Socket waiting {where} again in N s, topics {bench:stove: closed (disconnected: "
        'the server closed it (1012, "restarting"))}, last failure: the server closed it '
        '(1012, "restarting")>',
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server closed it "
        "(1012, \"restarting\"); 'bench:stove' is closed: disconnected: the server closed "
        'it (1012, "restarting")',
    ),
    "a heartbeat without an answer": (
        "<Socket waiting {where} again in N s, topics {bench:stove: closed (disconnected: "
        "the server did not answer a heartbeat)}, last failure: the server did not answer "
        "a heartbeat>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected, and "
        "tries {where} again in N s, attempt 1; the last failure: the server did not "
        "answer a heartbeat (hint: the network or a proxy in between has forgotten the "
        "connection, or the server is stuck: while one channel's join runs, all of its "
        "connection waits [troubleshooting#heartbeat]); 'bench:stove' is closed: "
        "disconnected: the server did not answer a heartbeat",
    ),
    "an overridden handle disconnect": (
        "<Socket disconnected {where}, topics {bench:stove: closed (disconnected: it ended "
        "without a close frame (1006))}, last failure: it ended without a close frame "
        "(1006)>",
        "awaited Away 'pantry' joining 'bench:stove' for N s: it is not connected to "
        "{where}, and does not try to; the last failure: it ended without a close frame "
        "(1006); 'bench:stove' is closed: disconnected: it ended without a close frame "
        "(1006)",
    ),
    "its own disconnect": (
        "<Socket disconnected {where}, topics {bench:stove: closed (disconnected: closed "
        "by this client)}>",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is not connected to "
        "{where}, and does not try to; 'bench:stove' is closed: disconnected: closed by "
        "this client",
    ),
    "a dead client": (
        "Kitchen 'pantry' is not there: it has ended, ValueError('burnt toast')",
        "Kitchen 'pantry' is not there: it has ended, ValueError('burnt toast')",
    ),
    "a stuck callback": (
        "awaited the state of Kitchen 'pantry' for N s: it is in handle_cast for N s; it "
        "is connected to {where}",
        "awaited Kitchen 'pantry' joining 'bench:stove' for N s: it is in handle_cast for "
        "N s; it is connected to {where}; 'bench:stove' is joined",
    ),
    "a name that is taken": (
        "the name 'pantry' is taken by Kitchen 'pantry'",
        "the name 'pantry' is taken by Kitchen 'pantry'",
    ),
}


def state(deaf: Deaf) -> str:
    """Return what `get_state` shows, or raises."""
    try:
        return repr(get_state(deaf.client, timeout=SOON).socket)
    except SlipstreamError as error:
        return str(error)


def error(deaf: Deaf) -> str:
    """Return why it is not joined."""
    try:
        wait_until_joined(deaf.client, deaf.topic, timeout=SOON)
    except SlipstreamError as raised:
        return str(raised)
    return "it is joined"


def masked(text: str) -> str:
    """Return a text without its ports and times."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return re.sub(r"\d+\.\d+ s\b", "N s", text)


def says(look: Callable[[Deaf], str], deaf: Deaf, text: str) -> bool:
    return masked(look(deaf)) == text


@pytest.mark.parametrize("name", WAYS)
def test_the_state_and_the_error_say_what_is_the_matter(name: str) -> None:
    with WAYS[name]() as deaf:
        wanted = [masked(text.replace("{where}", deaf.where)) for text in EXPECTED[name]]
        if deaf.client is None:
            assert [masked(str(deaf.error))] * 2 == wanted
            return
        looks: list[Callable[[Deaf], str]] = [state, error]
        for look, text in zip(looks, wanted, strict=True):
            is_so = functools.partial(says, look, deaf, text)
            with suppress(AssertionError):  # What it is about may be on its way yet.
                eventually(is_so, text)
            seen = look(deaf)
            assert masked(seen) == text
            assert SECRET not in seen


def test_each_way_has_a_state_and_an_error() -> None:
    assert list(EXPECTED) == list(WAYS)


def test_no_two_causes_say_the_same() -> None:
    assert len({error for _, error in EXPECTED.values()}) == len(EXPECTED)
