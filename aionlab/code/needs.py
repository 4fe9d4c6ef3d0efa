"""Which stored code needs which, and the order to run them in that follows from it."""
from __future__ import annotations


class Needs:
    """What each code, by its number, needs of the others."""

    def __init__(self) -> None:
        self.of_code: dict[int, tuple[list[str], list[str], list[int]]] = {}
        """Names read while it runs, names read when it is called, codes it holds directly."""
        self.of_name: dict[str, list[int]] = {}
        """Codes that make what a name is bound to."""
        self.effects: dict[int, list[int]] = {}
        """Codes that run after it to complete what it made."""

    def order(self, count: int) -> tuple[int, ...]:
        """The order in which the codes can run: what one needs while it runs comes first, and what that may call with it."""
        done: dict[int, None] = {}
        entered: set[tuple[int, bool]] = set()

        def visit(number: int, called: bool) -> None:
            if (number, called) in entered:
                return
            entered.add((number, called))
            now, later, direct = self.of_code.get(number, ([], [], []))
            for needed in direct:
                visit(needed, True)
            for name in now:
                for needed in self.of_name.get(name, ()):
                    visit(needed, True)
            done.setdefault(number)
            for effect in self.effects.get(number, ()):
                visit(effect, called)
            if called:
                for name in later:
                    for needed in self.of_name.get(name, ()):
                        visit(needed, True)

        for number in range(count):
            visit(number, False)
        return tuple(done)
