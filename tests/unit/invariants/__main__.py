"""Any number of random steps: `python -m tests.unit.invariants STEPS [SEED]`.

A run that breaks an invariant is made short, and told with everything that happened in it.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
from collections.abc import Sequence

from . import product
from .drama import RULES, Drama, Step, draw, shrunk
from .model import BrokenError
from .world import World

LENGTH = 80
"""Steps with one deployment; then the next one begins."""


POLICIES = ("keep", "remove_new")


class Theatre:
    """Plays sequences of steps, each on a world of its own."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.done = 0
        self.tally: collections.Counter[str] = collections.Counter()

    def current(self) -> World:
        assert self.world is not None
        return self.world

    def play(self, steps: Sequence[Step], on_failure: str) -> BrokenError | None:
        """What it breaks, if anything."""
        self.world = World(on_failure)
        drama = Drama(self.world)
        try:
            for step in steps:
                drama.play(step)
                self.done += 1
        except BrokenError as error:
            return error
        finally:
            self.world.close()
            self.tally += self.world.model.tally
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--go-on", action="store_true", help="go on after a failure, and tell each kind once")
    parser.add_argument("--without", nargs="*", default=(), help="rules that are left out")
    parser.add_argument("--on-failure", choices=POLICIES, action="append", help="only with this policy")
    asked = parser.parse_args()
    rules = [each for each in RULES if each.name not in asked.without]
    theatre = Theatre()
    begun, seed, told = time.monotonic(), asked.seed, set()
    with product.connected(theatre.current):
        while theatre.done < asked.steps:
            source = random.Random(seed)
            on_failure = source.choice(asked.on_failure or POLICIES)
            steps = [draw(source, rules) for _ in range(LENGTH)]
            before = theatre.done
            broken = theatre.play(steps, on_failure)
            if broken is not None:
                done, tally = theatre.done, theatre.tally.copy()
                kind = broken.kind
                if kind not in told:
                    told.add(kind)
                    print(f"seed {seed}: {kind}; it is made shorter", flush=True)

                    def fails(some: Sequence[Step], policy: str = on_failure, kind: str = kind) -> bool:
                        found = theatre.play(some, policy)
                        return found is not None and found.kind == kind

                    short = shrunk(
                        steps[: theatre.done - before + 1],
                        fails,
                    )
                    found = theatre.play(short, on_failure)
                    print(f"seed {seed}, on_failure: {on_failure}, shrunk to {len(short)} steps:")
                    for name, arguments in short:
                        print(f"    {name}{arguments}")
                    print(found, flush=True)
                theatre.done, theatre.tally = done, tally
                if not asked.go_on:
                    return 1
            seed += 1
    print(f"{theatre.done} steps with {seed - asked.seed} deployments in {time.monotonic() - begun:.0f} s")
    for what, count in sorted(theatre.tally.items()):
        print(f"  {count:6} {what}")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
