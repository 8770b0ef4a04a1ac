"""Pictures and report: true to millimetres, sides as radiologists read them, nothing from elsewhere."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from analysis_cases import COARSE, make_models, quick
from PIL import Image

from BATNetLib.analysis import analyze, colours
from BATNetLib.analysis.passport import passport
from BATNetLib.analysis.pictures import Panel, Section, draw_pictures, mask_panel, patch_panel, sections
from BATNetLib.analysis.preview import WIDTH, draw_preview, wrapped
from BATNetLib.analysis.report import render_report


@pytest.fixture(scope="module")
def result(phantom, models):
    return analyze(phantom.ct, phantom.lungs, options=quick(attention_stage="stage2"), models=models)


@pytest.fixture(scope="module")
def page(result):
    return render_report(result, passport(result), draw_pictures(result))


def whole(result, plane, index):
    slices, rows, columns = result.ct.array.shape
    return Section(plane, index, (0, rows if plane == "axial" else slices), (0, columns))


def luminance(ramp):
    linear = (ramp / 255.0) ** 2.2
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("ramp", [colours.PROBABILITY, colours.ATTENTION])
def test_colours_rise_in_lightness_so_that_they_keep_their_order_without_hue(ramp):
    light = luminance(ramp)
    assert (np.diff(light) > -1e-3).all() and light[-1] > 10 * light[0]
    assert (light[16:] > light[:-16]).all()


def test_probability_and_attention_cannot_be_taken_for_each_other():
    apart = np.abs(colours.PROBABILITY.astype(int) - colours.ATTENTION.astype(int)).max(axis=1)
    assert apart.min() > 45


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_a_picture_has_the_proportions_of_the_patient(plane, result):
    panel = Panel(result, whole(result, plane, 14 if plane == "axial" else 40), 500, 500)
    slices, rows, columns = np.array(result.ct.array.shape) * COARSE
    height = rows if plane == "axial" else slices
    assert panel.size[0] / panel.size[1] == pytest.approx(columns / height, rel=0.02)


@pytest.mark.parametrize(("plane", "index"), [("axial", 10), ("coronal", 40)])
def test_the_patients_right_is_on_the_images_left(plane, index, result):
    panel = Panel(result, whole(result, plane, index), 480, 480)
    section = panel.section.of(result.ct.array)
    grey = np.asarray(panel.image.resize(section.shape[::-1], Image.Resampling.BOX).convert("L"), float)
    shown = np.clip(section, -250, 250)
    # Column 0 is the patient's right; row 0 is anterior, or superior in a coronal section.
    assert np.corrcoef(grey.ravel(), shown.ravel())[0, 1] > 0.95
    assert np.corrcoef(grey[:, ::-1].ravel(), shown.ravel())[0, 1] < 0.9


def test_fat_is_shown_in_the_colour_of_its_patch_and_frames_the_strongest_pair(result):
    axial, _ = sections(result)
    strongest = max(result.patches, key=lambda patch: patch.probability)
    assert strongest.box.start[0] <= axial.index < strongest.box.end[0]
    pixels = np.asarray(patch_panel(result, axial, 600, 600)).reshape(-1, 3)
    assert (pixels == colours.FRAME).all(axis=1).sum() > 100
    plain = np.asarray(mask_panel(result, axial, 600, 600)).reshape(-1, 3).astype(int)
    assert (np.abs(plain - pixels).max(axis=1) > 20).mean() > 0.03


def test_the_preview_tells_the_probability_and_cuts_no_text(result):
    picture = draw_preview(result)
    assert picture.width == WIDTH and 250 < picture.height < 700
    pixels = np.asarray(picture)
    ground = pixels[-1, -1]
    assert (pixels[-4:] == ground).all() and (pixels[:, -4:] == ground).all(), "nothing touches the edge"
    for line in wrapped("word " * 200, 15, 400):
        from BATNetLib.analysis.pictures import font

        assert font(15).getlength(line) <= 400


def test_a_scan_that_is_not_assessable_gets_pictures_and_a_page_without_a_number(phantom, models):
    noise = np.random.default_rng(0).integers(-1000, 1000, phantom.ct.array.shape).astype(np.int16)
    refused = analyze(phantom.ct.with_array(noise), options=quick(), models=models)
    assert draw_preview(refused).width == WIDTH
    pictures = draw_pictures(refused)
    assert set(pictures) == {"axial-mask", "coronal-mask"}
    page = render_report(refused, passport(refused), pictures)
    assert "Not assessable" in page and refused.reasons[0].text.split("<")[0][:30] in page
    assert "Brown-fat probability" not in page


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.links, self.text, self.rows = {}, [], [], 0
        self.open = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images[attributes["data-picture"]] = attributes["src"]
            assert attributes["alt"]
        self.links += [v for k, v in attributes.items() if k in ("href", "src") and not v.startswith("data:")]
        self.rows += tag == "tr"
        assert tag != "script"

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_in_itself_and_says_what_it_must(page, result):
    parsed = Page()
    parsed.feed(page)
    text = " ".join(" ".join(parsed.text).split())
    assert parsed.links == [] and "@import" not in page and "url(http" not in page
    assert len(parsed.images) == 6
    for source in parsed.images.values():
        Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))).verify()
    for words in (
        "Research use only, not a medical device.",
        f"{result.probability:.3f}",
        "Not calibrated",
        "No validated threshold",
        "what the network looked at, not where brown fat is",
        "4 cells along each edge of a patch",
        "says nothing about paraspinal, abdominal or perirenal fat",
        "not by the published network",
        "b" * 64,
        "R and L are the patient's right and left",
    ):
        assert words in text, words
    assert len(re.findall(r'class="track right"', page)) == 16
    assert "{{" not in page and "None" not in text and "nan" not in text.lower().split()


def test_an_empty_attention_map_is_named_as_such(phantom, models):
    result = analyze(phantom.ct, phantom.lungs, options=quick(attention_stage="stage3"), models=models)
    result.attention = replace(result.attention, values=np.zeros_like(result.attention.values))
    facts = passport(result)
    assert facts["attention"]["empty"] is True
    assert "the map is empty" in render_report(result, facts, draw_pictures(result))


def test_a_page_with_an_operating_point_shows_predictive_values(phantom):
    point = {"threshold": 0.3, "cohort": "Cohort <A>", "sensitivity": 0.82, "specificity": 0.82, "n": 100}
    models = make_models(phantom.ct, operating_points=[point])
    result = analyze(phantom.ct, phantom.lungs, options=quick(prevalence=0.4), models=models)
    page = render_report(result, passport(result), {})
    assert "Cohort &lt;A&gt;" in page and "Cohort <A>" not in page, "texts of others are escaped"
    assert "40.0 % (as asked)" in page and "19 %" in page and "60 %" in page
