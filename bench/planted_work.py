"""The work of the planted playbooks, as workers run it: real CPU time and real HTTP."""

import time
import urllib.error
import urllib.request


def burn(items, fixed_s, item_s, square_s, most=0):
    """Use up CPU time: so much a call, an item, and the square of the items; or refuse them."""
    n = len(items)
    if most and n > most:
        raise ValueError(f"{n} items are more than the {most} that one call may have")
    until = time.process_time() + fixed_s + item_s * n + square_s * n * n
    while time.process_time() < until:
        pass
    return n


def ask(items, url, run=""):
    """Ask for each item; what the service says it is, the error is."""
    from trimtab import errors

    for item in items:
        try:
            with urllib.request.urlopen(f"{url}?key={item}&run={run}", timeout=30):
                pass
        except urllib.error.HTTPError as error:
            kind = errors.Throttled if error.code == 429 else errors.Transient
            raise kind(f"{error.code} Service Unavailable, try again later") from None
    return len(items)
