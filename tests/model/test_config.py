import pytest
from pydantic import ValidationError

from ardm.model.config import ModelConfig, UpscaleConfig, faults
from ardm.model.net_config import TransformerConfig, UNetConfig

MNIST = (28, 28, 1)


def of(**net):
    return ModelConfig(net=UNetConfig(**net))


def test_defaults_fit_mnist():
    assert faults(ModelConfig(), MNIST, 2) == []


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (16, 24, 1)])
def test_one_level_fits_any_side(shape):
    assert faults(of(multipliers=(1,), attention=()), shape, 2) == []


def test_side_not_divisible_names_the_depth_that_fits():
    (fault,) = faults(of(multipliers=(1, 2, 2, 2), attention=()), MNIST, 2)
    assert fault.startswith(
        "net.multipliers: 4 levels of patches of 1 need image sides divisible by 8"
    )
    assert fault.endswith("give at most 3 multipliers")


def test_the_shorter_side_limits_the_depth():
    (fault,) = faults(of(multipliers=(1, 2, 2), attention=()), (32, 30, 1), 2)
    assert fault.endswith("give at most 2 multipliers")
    assert faults(of(multipliers=(1, 2), attention=()), (32, 30, 1), 2) == []


def test_patches_take_their_share_of_the_side():
    assert faults(of(patch=4, multipliers=(1,)), MNIST, 2) == []
    (fault,) = faults(of(patch=2, multipliers=(1, 1, 1), attention=()), MNIST, 2)
    assert fault.endswith("the images are 28x28; give at most 2 multipliers")
    (fault,) = faults(of(patch=8, multipliers=(1,), attention=()), MNIST, 2)
    assert fault.endswith("the images are 28x28; choose a patch from [1, 2, 4, 7, 14, 28]")


def test_attention_where_no_level_works_names_the_sides():
    (fault,) = faults(of(multipliers=(1, 2), attention=(14, 8)), MNIST, 2)
    assert fault == "net.attention: no level works at resolution 8; choose from [28, 14]"
    (fault,) = faults(of(patch=2, multipliers=(1, 2), attention=(28,)), MNIST, 2)
    assert fault == "net.attention: no level works at resolution 28; choose from [14, 7]"


def test_all_faults_at_once():
    problems = faults(of(channels=18, groups=4, heads=4, attention=(5,)), MNIST, 2)
    assert [fault.split(":")[0] for fault in problems] == [
        "net.attention",
        "net.channels",
        "net.groups",
        "net.heads",
    ]
    assert problems[2].endswith("choose from [1, 2, 3, 6, 9, 18]")


@pytest.mark.parametrize(
    "net",
    [
        {"channels": 0},
        {"multipliers": ()},
        {"multipliers": (1, 0)},
        {"blocks": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"heads": 0},
        {"kind": "transformer"},
        {"chanels": 32},
    ],
)
def test_impossible_values_are_refused(net):
    with pytest.raises(ValidationError):
        of(**net)


def test_lists_become_tuples_so_that_a_model_can_be_hashed():
    config = ModelConfig.model_validate_json('{"net": {"multipliers": [1, 2], "attention": [14]}}')
    assert config.net.multipliers == (1, 2)
    assert isinstance(hash(config), int)


@pytest.mark.parametrize(
    ("output", "shape", "classes", "ending"),
    [
        ("rgb_mixture", (28, 28, 1), 256, "have 1; choose categorical or logistic_mixture"),
        ("rgb_mixture", (28, 28, 3), 2, "the images have 2 classes; choose categorical"),
        ("logistic_mixture", (28, 28, 1), 2, "the images have 2 classes; choose categorical"),
    ],
)
def test_an_output_that_does_not_fit_is_refused_with_those_that_do(output, shape, classes, ending):
    (fault,) = faults(ModelConfig(output=output), shape, classes)
    assert fault.startswith(f"output: {output} ")
    assert fault.endswith(ending)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("output", ["categorical", "logistic_mixture"])
def test_outputs_per_channel_fit_gray_and_color(output, channels):
    assert faults(ModelConfig(output=output), (28, 28, channels), 256) == []
    assert faults(ModelConfig(output="rgb_mixture"), (28, 28, 3), 256) == []


def upscale(output="categorical", **keys):
    return ModelConfig(objective="upscale", output=output, upscale=UpscaleConfig(**keys))


@pytest.mark.parametrize(
    ("config", "key", "choice"),
    [
        (upscale(branch=1), "upscale.branch", "choose from 2 to 16"),
        (upscale(branch=17), "upscale.branch", "choose from 2 to 16"),
        (
            upscale(mode="augment", parametrisation="direct"),
            "upscale.parametrisation",
            "choose data, or mode zero",
        ),
        (upscale(output="logistic_mixture"), "output", "choose categorical, or the objective oa"),
    ],
)
def test_stages_that_do_not_fit_are_refused_with_what_does(config, key, choice):
    (fault,) = faults(config, MNIST, 16)
    assert fault.startswith(f"{key}: ")
    assert fault.endswith(choice)


@pytest.mark.parametrize("branch", [2, 3, 16])
@pytest.mark.parametrize(
    ("mode", "parametrisation"), [("zero", "data"), ("augment", "data"), ("zero", "direct")]
)
def test_stages_that_fit(branch, mode, parametrisation):
    config = upscale(branch=branch, mode=mode, parametrisation=parametrisation)
    assert faults(config, MNIST, 16) == []


def test_the_stages_of_another_objective_do_not_matter():
    assert faults(ModelConfig(upscale=UpscaleConfig(branch=1)), MNIST, 16) == []


TEXT = (16, 1, 1)


def transformer(net=None, **options):
    return ModelConfig(net=TransformerConfig(**net or {}), **options)


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (transformer({"width": 36, "heads": 4}), TEXT, "choose from [1, 3, 9]"),
        (
            transformer({"width": 30}),
            TEXT,
            "choose a width that is a multiple of 4 times the heads",
        ),
        (transformer(output="logistic_mixture"), (8, 8, 3), "choose unet, or output: categorical"),
        (ModelConfig(objective="permuted"), MNIST, "permuted needs a causal network"),
        (
            ModelConfig(objective="upscale", upscale=UpscaleConfig(levels="letters")),
            MNIST,
            "letters",
        ),
    ],
)
def test_what_a_network_cannot_do_is_refused_with_the_choices(config, shape, message):
    (fault,) = faults(config, shape, 50)
    assert message in fault


@pytest.mark.parametrize("objective", ["oa", "autoregressive", "permuted"])
def test_a_transformer_fits_every_objective(objective):
    assert faults(transformer(objective=objective), TEXT, 256) == []
