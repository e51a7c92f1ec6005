"""Which number has a step? A process may go on from a checkpoint, or go back to one.

What the program says comes first, then what its optimizers' states say; what neither says, whoever reads
the ledgers of all attempts may find (:mod:`flopledger.recording.states`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopledger.recording.turns import Turns
from profilers.steps.record.ledger import MAYBE_BACK, WENT_BACK

if TYPE_CHECKING:
    from flopledger.recording.recorder import Recorder
    from profilers.steps.optimizers.states import StateMark


class Numbers:
    """The numbers of one recording's steps."""

    def __init__(self, recorder: Recorder) -> None:
        """Take the recording; its first step is 1 unless it goes on."""
        self._recorder = recorder
        self._next = 1
        self._said = False
        """Whether the program said after which step it goes on."""
        self._loaded = 0
        """After which step it goes on, by what its optimizers say."""
        self._loaded_at = 0
        self._turns = Turns()

    # ------------------------------------------------------------ steps that are over

    def of(self, optimizer: str | None, steps: int, said: int | None = None) -> int:
        """Return the number of the first of some steps that are over.

        Args:
            optimizer: Which ended them; several are joined by ``+``.
            steps: How many they are.
            said: Their first number, if the program says it.

        """
        self._go_back()
        if said is not None:
            self._next = said
        self._turns.add(optimizer, steps)
        first, self._next = self._next, self._next + steps
        return first

    def said(self, number: int) -> int:
        """The program says the number of the last step."""
        self._next = number + 1
        return number

    @property
    def reached(self) -> int:
        """Number of the last step whose optimizer has stepped; 0 before the first of this process.

        It may be open still: whether another optimizer steps in it, or the program says something
        of it, only the next call shows.
        """
        open_ = self._recorder.observer.is_open
        return self._next - 1 + open_ if self._recorder.book.steps or open_ else 0

    # ------------------------------------------------------------ going on

    def resumed(self, step: int) -> None:
        """An optimizer's own state says that it stepped before.

        Each knows its own steps only. Those of optimizers that take turns (a GAN's) add up; those
        that step together, with no step of the recorder's between them, are the same steps. One that
        is made anew in mid-run, with the state of another, says what that one did.
        """
        if self._said:
            return
        recorder = self._recorder
        recorder.observer.fold()  # whether a step lies between the two shows then
        done = recorder.book.steps
        if done and (not self._loaded or step == self._loaded + done):
            return
        if done > self._loaded_at:
            recorder.book.shift(step)
            recorder.states.shift(step)
            self._loaded += step
            self._next += step
        elif step > self._loaded:
            self._loaded = step
            self._next = step + 1
        else:
            return
        self._loaded_at = done
        self._tell(self._loaded, "optimizer-state")

    def goes_on(self, optimizer: str, mark: StateMark, source: str) -> None:
        """An optimizer steps for the first time with a state that does not say after which step."""
        if self._said:
            return
        self._recorder.observer.fold()
        if not self._recorder.book.steps:
            self._recorder.book.head(
                lambda ledger: ledger.loaded(optimizer, mark.layout, mark.values, source)
            )

    def resume(self, step: int) -> None:
        """The program says after which step it goes on."""
        self._recorder.observer.fold()
        self._recorder.observer.end_step()  # steps that are over have their numbers
        source = WENT_BACK if step < self.reached else "explicit"
        self._turns.forget()
        self._said = True
        self._next = step + 1
        self._tell(step, source)

    # ------------------------------------------------------------ going back

    def goes_back(self, steps: int) -> None:
        """An optimizer was given the state that it had so many steps ago: those are done again."""
        self._recorder.observer.end_step()
        step = max(0, self._next - 1 - steps)
        self._next = step + 1
        self._tell(step, WENT_BACK)

    def may_go_back(self, optimizer: str, steps: int, *, counts: bool) -> None:
        """One of several was given the state that it had so many steps ago: its own, if it counts them.

        Others may be given theirs before the next step.
        """
        self._recorder.observer.end_step()
        (self._turns.back if counts else self._turns.back_in_run)(optimizer, steps)

    def _go_back(self) -> None:
        """A step is over, and before it several optimizers may have been given earlier states."""
        if not self._turns.waiting:
            return
        least, most = self._turns.undone()
        at = self._next
        step = max(0, at - 1 - most)
        if least == most:
            self._next = step + 1
            self._tell(step, WENT_BACK)
            return
        self._recorder.book.head(lambda ledger: ledger.resume(step, MAYBE_BACK, at))
        self._recorder.costs.tell(
            "went-back",
            "warning",
            "some of several optimizers were given earlier states of their own, which belong to no one "
            "moment: how many steps are done again is not known, so what stands has bounds: say "
            "run.resume(step)",
        )

    def _tell(self, step: int, source: str) -> None:
        self._recorder.book.head(lambda ledger: ledger.resume(step, source))
