"""Programs of torch.export that are checked before they are written."""

import pytest
import torch

from nas.export.parity import noise
from nas.lowering import MERGE_ALL
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_a_program_gives_the_outputs_of_torch_at_every_batch_size(tmp_path, choice):
    model, images = trained_like(MINI), noise(MINI)
    told = write("torch-export", tmp_path / "m.pt2", model, choice, METADATA, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    extra = dict.fromkeys(METADATA.to_properties(), "")
    program = torch.export.load(tmp_path / "m.pt2", extra_files=extra).module()
    for size in (1, 2, 5):
        assert agree(program(images[:size]).detach().numpy(), logits(model, images[:size]))
    assert extra == METADATA.to_properties()
