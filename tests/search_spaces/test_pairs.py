"""The tables of networks and pairs."""

from __future__ import annotations

import pytest

from search_spaces.pairs import NETWORKS, PAIRS, Network, Pair, family, resolve_pair
from trainables.errors import ConfigError


def test_every_pair_is_named_by_its_teacher_and_student():
    for name, pair in PAIRS.items():
        teacher, student = name.split(":")
        assert pair == Pair(NETWORKS[teacher], NETWORKS[student])


def test_cnn_and_transformer_teach_each_other_and_hybrids_take_part():
    directions = {pair.direction for pair in PAIRS.values()}
    assert directions >= {"CNN->Transformer", "Transformer->CNN", "hybrid->CNN", "Transformer->hybrid"}


@pytest.mark.parametrize("name", ["fpn_r18:mit_b0", "pvt_b0:mbv3s", "dl_mit_b4:mbv2", "edgenext:mbv3s", "r18:mit_b0"])
def test_pairs_of_the_documentation_are_in_the_table(name):
    assert name in PAIRS


@pytest.mark.parametrize("short", NETWORKS)
def test_family_read_from_the_name_agrees_with_the_table(short):
    assert family(NETWORKS[short].model) == NETWORKS[short].family


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fpn:timm-regnetx_002", "CNN"),
        ("fpn:timm-efficientnet-b0", "CNN"),
        ("fpn:tu-convnext_atto", "CNN"),
        ("fpn:se_resnext50_32x4d", "CNN"),
        ("fpn:vgg11_bn", "CNN"),
        ("fpn:densenet121", "CNN"),
        ("fpn:tu-repvit_m1", "CNN"),
        ("dpt:tu-vit_tiny_patch16_224", "Transformer"),
        ("dpt:tu-deit3_small_patch16_224", "Transformer"),
        ("fpn:tu-swinv2_tiny_window8_256", "Transformer"),
        ("fpn:tu-mobilevit_xxs", "hybrid"),
        ("fpn:tu-mobilevitv2_050", "hybrid"),
        ("fpn:tu-fastvit_t8", "hybrid"),
        ("fpn:tu-efficientformer_l1", "hybrid"),
        ("fpn:tu-coat_lite_tiny", "hybrid"),
        ("fpn:tu-maxvit_tiny_tf_224", "hybrid"),
        ("mit_b2", "Transformer"),
        ("fpn:somenet", "other"),
        ("vit:resnet18", "CNN"),  # the decoder's name does not count
    ],
)
def test_family_looks_through_prefixes(model, expected):
    assert family(model) == expected


def test_two_short_names_make_a_pair_that_the_table_lacks():
    assert "mbv3s:swin_t" not in PAIRS
    assert resolve_pair("mbv3s:swin_t") == Pair(NETWORKS["mbv3s"], NETWORKS["swin_t"])


def test_two_models_make_a_pair():
    pair = resolve_pair("fpn:resnet50>segformer:mit_b1")
    assert pair == Pair(Network("fpn:resnet50", "CNN"), Network("segformer:mit_b1", "Transformer"))
    assert pair.direction == "CNN->Transformer"


def test_unknown_pair_names_the_nearest():
    with pytest.raises(ConfigError) as error:
        resolve_pair("r18:foo")
    assert str(error.value) == "Unknown pair 'r18:foo'. Nearest: r18:mit_b0. `heteroakd pairs` lists all."


@pytest.mark.parametrize("name", ["", "r18", "fpn:resnet50>mit_b1", "fpn:a>fpn:b>fpn:c", ":a>fpn:b", "r18:mit_b0:r18"])
def test_half_a_pair_is_refused(name):
    with pytest.raises(ConfigError, match="Unknown pair"):
        resolve_pair(name)
