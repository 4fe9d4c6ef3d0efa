"""What can be said of a batch without asking a database: that its rows are numbered as it claims."""
from __future__ import annotations

from collections.abc import Sequence

from aionlab.core.errors import BadBatch
from aionlab.core.events import Recorded
from aionlab.core.ids import WorkflowId
from aionlab.core.ports import Batch


def check(batch: Batch) -> dict[int, int]:
    """Rows of each workflow go on without a gap from its expected head, and workflows that are new begin at 0; the heads after them.

    Raises BadBatch.
    """
    heads = dict(batch.expected)
    for row in batch.rows:
        key, seq = row[0], row[1]
        head = heads.get(key)
        if head is None:
            raise BadBatch(f"workflow key {key} has rows, but the batch does not say where its history stands")
        if seq != head + 1:
            raise BadBatch(f"workflow key {key}: event {seq} does not follow event {head}")
        heads[key] = seq
    new = {key for key, _ in batch.workflows}
    for key, expected in batch.expected.items():
        if (key in new) != (expected == 0 and heads[key] > 0):
            raise BadBatch(f"workflow key {key}: exactly the workflows that are new have a head of 0 and rows")
    if not new <= batch.expected.keys():
        raise BadBatch("a new workflow without a row")
    return heads


def check_sequence(workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
    """`events` are all of this workflow id and numbered from `expected_seq` + 1.

    Raises BadBatch.
    """
    if expected_seq < 0:
        raise BadBatch(f"{workflow_id}: a history cannot stand at event {expected_seq}")
    for seq, recorded in enumerate(events, expected_seq + 1):
        if recorded.workflow_id != workflow_id:
            raise BadBatch(f"{workflow_id}: event {recorded.seq} belongs to {recorded.workflow_id}")
        if recorded.seq != seq:
            raise BadBatch(f"{workflow_id}: event {recorded.seq} stands where event {seq} should")
