"""Augmentation and normalization of batches of images; kornia does most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.train.recipe import Recipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class MixedLabels:
    """Labels of images each of which may be a mixture of two.

    Attributes:
        first: Labels of the images, shape (B,).
        second: Labels of the images that were mixed in, shape (B,).
        share: Share of the second image, 0..1, shape (B,) or () for the whole batch; None if
            nothing was mixed.
    """

    first: Tensor
    second: Tensor
    share: Tensor | None

    def loss(self, logits: Tensor, smoothing: float) -> Tensor:
        """Return the mean cross entropy.

        Args:
            logits: Shape (n x B, classes): n predictions for each image of the batch, as a
                supernet gives that trains n networks at once.
            smoothing: Share of the target that label smoothing spreads over all classes.
        """
        predictions = len(logits) // len(self.first)
        if predictions > 1:
            parts = logits.chunk(predictions)
            return torch.stack([self.loss(part, smoothing) for part in parts]).mean()
        if self.share is None:
            return F.cross_entropy(logits, self.first, label_smoothing=smoothing)
        first = F.cross_entropy(logits, self.first, label_smoothing=smoothing, reduction="none")
        second = F.cross_entropy(logits, self.second, label_smoothing=smoothing, reduction="none")
        return ((1 - self.share) * first + self.share * second).mean()

    def split(self, parts: int) -> list[MixedLabels]:
        """Return the labels of the parts into which ``Tensor.tensor_split`` divides the batch."""
        first, second = self.first.tensor_split(parts), self.second.tensor_split(parts)
        shares: Sequence[Tensor | None] = [self.share] * len(first)
        if self.share is not None and self.share.ndim:
            shares = self.share.tensor_split(parts)
        return [MixedLabels(*each) for each in zip(first, second, shares, strict=True)]

    def accuracy(self, logits: Tensor) -> Tensor:
        """Return the share of predictions that equal the label of an image's larger part."""
        predicted = logits.argmax(1).view(-1, len(self.first))
        main = self.first
        if self.share is not None:
            main = torch.where(self.share > 0.5, self.second, self.first)
        return (predicted == main).float().mean()


class Augmentation:
    """Turns uint8 images (B, 3, H, W) into normalized floats in the channels-last format.

    All randomness comes from torch's global generator, which the training loop seeds at each step.
    """

    def __init__(
        self, recipe: Recipe, statistics: tuple[Tensor, Tensor], device: str = "cpu"
    ) -> None:
        """Prepare the operations.

        Args:
            recipe: Recipe that names the operations.
            statistics: Mean and standard deviation of the training split by channel, in 0..1,
                shape (3,) each.
            device: Device of the images.
        """
        mean, std = statistics
        if recipe.normalisation == "imagenet":
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        elif not isinstance(recipe.normalisation, str):
            mean, std = map(torch.tensor, recipe.normalisation)
        self.mean, self.std = mean.view(1, 3, 1, 1).to(device), std.view(1, 3, 1, 1).to(device)
        self._mean_255, self._std_255 = 255 * self.mean, 255 * self.std
        self._shift = recipe.shift
        self._before, self._after = _kornia_operations(recipe)
        self._mixers: list[_Mixup | _CutMix] = []
        if recipe.mixup:
            self._mixers.append(_Mixup(recipe.mixup))
        if recipe.cutmix:
            self._mixers.append(_CutMix(recipe.cutmix))

    def train(self, images: Tensor) -> Tensor:
        """Augment and normalize a batch for training."""
        images = self._shifted(images)
        if self._before is not None:
            images = self._before(images.float() / 255) * 255
        images = self.normalise(images)
        return images if self._after is None else self._after(images)

    def normalise(self, images: Tensor) -> Tensor:
        """Normalize a batch without augmenting it, as for evaluation."""
        floats = (images.float() - self._mean_255) / self._std_255
        return floats.contiguous(memory_format=torch.channels_last)

    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, MixedLabels]:
        """Mix the images of a batch with one another if the recipe asks for it."""
        if not self._mixers:
            return images, MixedLabels(labels, labels, None)
        return self._mixers[int(torch.randint(len(self._mixers), ()))](images, labels)

    def _shifted(self, images: Tensor) -> Tensor:
        """Translate each image by a random number of pixels, replicating its edge."""
        reach = round(self._shift * images.shape[-1])
        if reach == 0:
            return images
        count, channels, height, width = images.shape
        padded = F.pad(images.float(), [reach] * 4, mode="replicate")
        dy, dx = torch.randint(0, 2 * reach + 1, (2, count, 1), device=images.device)
        at = torch.arange(max(count, channels, height, width), device=images.device)
        rows = (dy + at[:height])[:, None, :, None]
        columns = (dx + at[:width])[:, None, None, :]
        return padded[at[:count, None, None, None], at[None, :channels, None, None], rows, columns]


def _kornia_operations(recipe: Recipe) -> tuple[nn.Module | None, nn.Module | None]:
    """Return the operations before and after normalization; None if there are none."""
    if not (recipe.flip or recipe.crop < 1 or recipe.randaugment or recipe.erasing):
        return None, None
    import kornia.augmentation as kornia  # takes seconds; short training rarely needs it

    before: list[nn.Module] = []
    if recipe.crop < 1:
        before.append(_RandomCrop(recipe.crop))
    if recipe.flip:
        before.append(kornia.RandomHorizontalFlip())
    if recipe.randaugment:
        before.append(kornia.auto.RandAugment(recipe.randaugment_ops, recipe.randaugment))
    after = kornia.RandomErasing(p=recipe.erasing) if recipe.erasing else None
    return (nn.Sequential(*before) if before else None), after


class _RandomCrop(nn.Module):
    """Random resized crop of images of any size; kornia's needs the size in advance."""

    def __init__(self, min_area: float) -> None:
        super().__init__()
        self._min_area = min_area

    def forward(self, images: Tensor) -> Tensor:
        import kornia.augmentation as kornia

        crop = kornia.RandomResizedCrop(tuple(images.shape[-2:]), scale=(self._min_area, 1.0))
        cropped: Tensor = crop(images)
        return cropped


class _Mixup:
    """Blends each image with another one, all in the same proportion (Zhang et al. 2018)."""

    def __init__(self, alpha: float) -> None:
        self._beta = torch.distributions.Beta(alpha, alpha)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, MixedLabels]:
        order = torch.randperm(len(labels), device=labels.device)
        # Filled in on the device: copying a tensor there would wait for it.
        share = torch.full((), float(self._beta.sample()), device=images.device)
        return images.lerp(images[order], share), MixedLabels(labels, labels[order], share)


class _CutMix:
    """kornia's CutMix (Yun et al. 2019), which reports the share of the first image."""

    def __init__(self, alpha: float) -> None:
        import kornia.augmentation as kornia

        self._cutmix = kornia.RandomCutMixV2(
            beta=alpha, p=1.0, data_keys=["input", "class"], use_correct_lambda=True
        )

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, MixedLabels]:
        mixed, targets = self._cutmix(images, labels)
        first, second, share = targets[0].unbind(1)  # [0]: one cut per image
        return mixed, MixedLabels(first.long(), second.long(), 1 - share)
