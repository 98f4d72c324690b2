"""What happens to a batch of images before a network sees it; kornia does it, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.train.recipe import Recipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Mixed:
    """Labels of images that may be mixtures of two.

    Attributes:
        first: (B,) labels.
        second: (B,) labels of what is mixed in.
        share: of the second, 0..1, one for each or one for all; None where nothing is mixed.
    """

    first: Tensor
    second: Tensor
    share: Tensor | None

    def loss(self, logits: Tensor, smoothing: float) -> Tensor:
        """Return the mean cross entropy of (n x B, classes) logits, of n answers to a batch."""
        answers = len(logits) // len(self.first)
        if answers > 1:
            parts = logits.chunk(answers)
            return torch.stack([self.loss(part, smoothing) for part in parts]).mean()
        if self.share is None:
            return F.cross_entropy(logits, self.first, label_smoothing=smoothing)
        first = F.cross_entropy(logits, self.first, label_smoothing=smoothing, reduction="none")
        second = F.cross_entropy(logits, self.second, label_smoothing=smoothing, reduction="none")
        return ((1 - self.share) * first + self.share * second).mean()

    def right(self, logits: Tensor) -> Tensor:
        """Return the share of answers that name an image's larger part."""
        answers = logits.argmax(1).view(-1, len(self.first))
        main = self.first
        if self.share is not None:
            main = torch.where(self.share > 0.5, self.second, self.first)
        return (answers == main).float().mean()


class Augmentation:
    """Turns uint8 images (B, 3, H, W) into normalised floats, channels last.

    What is random comes from torch's global generator, which the training loop seeds at every step.
    """

    def __init__(self, recipe: Recipe, statistics: tuple[Tensor, Tensor]) -> None:
        """Prepare the operations.

        Args:
            recipe: says which.
            statistics: mean and standard deviation of the training part, (3,) each, in 0..1.
        """
        mean, std = statistics
        if recipe.normalisation == "imagenet":
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        self._shift = recipe.shift
        self._early, self._late = _kornia(recipe)
        self._mixers: list[_Mixup | _CutMix] = []
        if recipe.mixup:
            self._mixers.append(_Mixup(recipe.mixup))
        if recipe.cutmix:
            self._mixers.append(_CutMix(recipe.cutmix))

    def train(self, images: Tensor) -> Tensor:
        """Augment and normalise."""
        images = self._shifted(images)
        if self._early is not None:
            images = self._early(images.float() / 255) * 255
        images = self.normalise(images)
        return images if self._late is None else self._late(images)

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise alone, as for evaluation."""
        mean, std = self.mean.to(images.device), self.std.to(images.device)
        floats = (images.float() - 255 * mean) / (255 * std)
        return floats.contiguous(memory_format=torch.channels_last)

    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Mixed]:
        """Mix images with one another, if the recipe says so."""
        if not self._mixers:
            return images, Mixed(labels, labels, None)
        return self._mixers[int(torch.randint(len(self._mixers), ()))](images, labels)

    def _shifted(self, images: Tensor) -> Tensor:
        """Move every image by a few pixels, the edge repeated."""
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


def _kornia(recipe: Recipe) -> tuple[nn.Module | None, nn.Module | None]:
    """Return the operations before and after normalisation; None for none."""
    if not (recipe.flip or recipe.crop < 1 or recipe.randaugment or recipe.erasing):
        return None, None
    import kornia.augmentation as kornia  # takes seconds, and most short trainings go without

    early: list[nn.Module] = []
    if recipe.crop < 1:
        early.append(_RandomCrop(recipe.crop))
    if recipe.flip:
        early.append(kornia.RandomHorizontalFlip())
    if recipe.randaugment:
        early.append(kornia.auto.RandAugment(recipe.randaugment_ops, recipe.randaugment))
    late = kornia.RandomErasing(p=recipe.erasing) if recipe.erasing else None
    return (nn.Sequential(*early) if early else None), late


class _RandomCrop(nn.Module):
    """kornia's random resized crop for images of any size: it wants to know the size beforehand."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        import kornia.augmentation as kornia

        crop = kornia.RandomResizedCrop(tuple(images.shape[-2:]), scale=(self.share, 1.0))
        done: Tensor = crop(images)
        return done


class _Mixup:
    """Adds to every image another one, in one share for the whole batch (Zhang et al. 2018)."""

    def __init__(self, alpha: float) -> None:
        self._beta = torch.distributions.Beta(alpha, alpha)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Mixed]:
        order = torch.randperm(len(labels), device=labels.device)
        share = self._beta.sample().to(images.device)
        return images.lerp(images[order], share), Mixed(labels, labels[order], share)


class _CutMix:
    """kornia's, whose answer is the share of the first image."""

    def __init__(self, alpha: float) -> None:
        import kornia.augmentation as kornia

        self._mixer = kornia.RandomCutMixV2(
            beta=alpha, p=1.0, data_keys=["input", "class"], use_correct_lambda=True
        )

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Mixed]:
        mixed, told = self._mixer(images, labels)
        first, second, share = told[0].unbind(1)  # [0]: one cut an image
        return mixed, Mixed(first.long(), second.long(), 1 - share)
