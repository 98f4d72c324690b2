"""Stands in for timm, which needs a torchvision that a machine may not have."""

import types

import torch

CONFIGURATION = {
    "input_size": (3, 160, 160),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}


class Convolutional(torch.nn.Sequential):
    """A convolution, pooling and a classifier; takes images of at least 3 px."""

    def __init__(self, classes):
        super().__init__(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1))
        self.append(torch.nn.Flatten()).append(torch.nn.Linear(4, classes))
        self.num_classes = classes
        self.pretrained_cfg = dict(CONFIGURATION)


class Attention(torch.nn.Module):
    """Patches of 16 px and one attention; takes images of 160 px only."""

    def __init__(self, classes):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 8, 16, stride=16)
        self.qkv = torch.nn.Linear(8, 24)
        self.head = torch.nn.Linear(8, classes)
        self.num_classes = classes
        self.pretrained_cfg = {**CONFIGURATION, "classifier": ("head", "head_dist")}

    def forward(self, images):
        assert images.shape[2] == 160, "made for 160 px"
        q, k, v = self.qkv(self.embed(images).flatten(2).transpose(1, 2)).chunk(3, dim=-1)
        return self.head((torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v).mean(1))


class Features(Convolutional):
    """Has no classifier unless it is given classes."""

    def __init__(self, classes):
        super().__init__(classes or 1)
        self.num_classes = classes
        if not classes:
            del self[3]


class Maps(Convolutional):
    """Says that it has classes, but gives maps."""

    def forward(self, images):
        return self[0](images)


NETWORKS = {
    "resnet18": (Convolutional, 1000),
    "vit_small": (Attention, 1000),
    "features": (Features, 0),
    "maps": (Maps, 1000),
}


def stand_in():
    """Return a module in place of timm."""

    def create_model(name, num_classes=None, pretrained=False, **options):
        if options.get("drop_path_rate") and name == "resnet18":
            raise TypeError("unexpected keyword argument 'drop_path_rate'")
        kind, classes = NETWORKS[name.partition(".")[0]]
        return kind(classes if num_classes is None else num_classes)

    fake = types.ModuleType("timm")
    fake.list_models = lambda pattern="*": list(NETWORKS)
    fake.create_model = create_model
    return fake
