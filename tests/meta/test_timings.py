"""Are benchmarks stored by machine and stack, shown correctly, and compared with the right stored ones?"""

import json
import re

import pytest

from cnnspec.__main__ import main
from cnnspec.benchmarks import tables, timings
from cnnspec.benchmarks.timings import Key, Timing, by_key
from cnnspec.errors import TimingsError
from cnnspec.names import hardware
from cnnspec.reports import page

STACK = {
    "framework": "tensorflow 2.21.0",
    "keras": "3.15.1",
    "python": "3.12.1",
    "platform": "Linux x86_64",
    "numpy": "2.5.5",
    "device": "CPU",
    "cpu": "AMD EPYC",
    "cores": 2,
    "memory_gib": 24,
    "threads": 2,
    "precision": "float32",
}
QUIET = [0.99, 1.0, 1.01]


def timed(seconds, what="a", model=None, **facts):
    """A Timing of three quiet rounds around `seconds`."""
    return Timing(model, what, [seconds * factor for factor in QUIET], **facts)


def test_derived_numbers():
    """Spread, images per second, GFLOP/s and share of the limit, by hand."""
    timing = Timing("model1", "plain fit", [2.0, 1.9, 2.2], images=4000, flops=10**7, limit_gflops=100.0)
    assert timing.median == 2.0
    assert timing.spread == pytest.approx((2.1 - 1.95) / 2)
    assert Timing(None, "a", [2.0, 2.5, 3.0], fewest=[2.0, 1.9, 2.2]).spread == timing.spread
    assert timing.images_per_second == 2000
    assert timing.gflops == pytest.approx(20)
    assert timing.share == pytest.approx(0.2)
    alone = Timing(None, "a", [1.0])
    assert (alone.images_per_second, alone.gflops, alone.share) == (None, None, None)
    assert (str(timing.key), str(alone.key)) == ("model1, plain fit", "a")


def test_names():
    """The name of a folder has GPU or CPU, cores and memory; that of a file has versions and data set."""
    assert hardware(STACK) == "amd-epyc-2-cores-24-gib"
    gpu = STACK | {"device": "NVIDIA H200", "cores": 16, "memory_gib": 128}
    assert hardware(gpu) == "nvidia-h200-amd-epyc-16-cores-128-gib"
    assert timings.file_name(STACK, "mnist5k") == "tensorflow-2.21.0-keras-3.15.1-mnist5k.json"
    assert hardware(STACK | {"memory_gib": None}) == "amd-epyc-2-cores-unknown-memory"


def test_runs_add_up(tmp_path):
    """A run of the same stack is added to its file; a run of another stack with the same file name replaces it."""
    for number in range(timings.KEPT_RUNS + 1):
        path, _ = timings.store(tmp_path, STACK, "mnist5k", [timed(1.0 + number)], f"day {number:02}", "tox")
    content = timings.read(path)
    assert [run["date"] for run in content["runs"]] == [f"day {number:02}" for number in range(1, timings.KEPT_RUNS + 1)]
    assert content["runs"][0]["timings"] == {Key(None, "a"): timed(2.0)}
    whole = Timing("model1", "a", QUIET, 4000, 10**7, 3.5, 100.0, 9.0, 900.0, 80.0, [1.0, 0.9, 1.1], QUIET)
    timings.store(tmp_path, STACK, "mnist5k", [whole], "day 19", "tox")
    assert timings.read(path)["runs"][-1]["timings"] == {Key("model1", "a"): whole}
    timings.store(tmp_path, STACK | {"threads": 1}, "mnist5k", [timed(9.0)], "day 20", "tox")
    assert [run["date"] for run in timings.read(path)["runs"]] == ["day 20"]


def test_doubtful_figures_are_not_stored(tmp_path):
    """A timing that is not to be trusted is left out and named; if there is no other, nothing is stored."""
    busy = Timing(None, "b", [1.0, 1.0, 1.5])
    with pytest.raises(
        TimingsError, match=r"every timing spread by more than 10%, so the machine was busy .* measure again: tox"
    ):
        timings.store(tmp_path, STACK, "mnist5k", [busy], "today", "tox")
    assert not list(tmp_path.iterdir())
    path, left_out = timings.store(tmp_path, STACK, "mnist5k", [timed(1.0), busy], "today", "tox")
    assert left_out == [Key(None, "b")]
    assert timings.read(path)["runs"][0]["timings"] == {Key(None, "a"): timed(1.0)}


def test_what_is_compared(tmp_path):
    """The stored file of the same version, else the latest of the same framework; never of another data set."""
    assert timings.stored(tmp_path, STACK, "mnist5k") is None
    for version, date in (("2.19.0", "2026-03"), ("2.20.0", "2026-02")):
        timings.store(tmp_path, STACK | {"framework": f"tensorflow {version}"}, "mnist5k", [timed(1.0)], date, "tox")
    timings.store(tmp_path, STACK | {"framework": "jax 0.10.0"}, "mnist5k", [timed(1.0)], "2026-04", "tox")
    framework = lambda stack, data="mnist5k": (timings.stored(tmp_path, stack, data) or {}).get("stack", {}).get("framework")  # noqa: E731
    assert framework(STACK) == "tensorflow 2.19.0"
    assert framework(STACK | {"framework": "tensorflow 2.20.0"}) == "tensorflow 2.20.0"
    assert framework(STACK | {"framework": "torch 2.13.0"}) is None
    assert framework(STACK, "mnist") is None


BAD = {  # what becomes of the content -> what is said of it; any other damage: tests/meta/damage
    "another machine": (lambda content: content["stack"].update(cores=4), "hardware is 'amd-epyc-2-cores-24-gib', and the"),
    "no runs": (lambda content: content["runs"].clear(), "runs is empty"),
    "no seconds": (lambda content: timing_of(content)["seconds"].clear(), "runs[0].timings[0].seconds is empty"),
    "no time": (lambda content: timing_of(content).update(seconds=[0.0]), "seconds[0] is 0.0, not a number from 1e-09"),
    "no limit": (
        lambda content: timing_of(content).update(limit_gflops=0),
        "limit_gflops is 0, not a number above 0 or null",
    ),
    "rounds left out": (lambda content: timing_of(content).update(fewest=[1.0]), "timings[0].fewest has 1 of 3 rounds"),
    "measured twice": (
        lambda content: content["runs"][0]["timings"].append(timing_of(content)),
        "runs[0].timings[1] is of a, as one before it",
    ),
    "no version": (lambda content: content["stack"].update(framework="jax"), "stack.framework is 'jax', not a name and a"),
}


def timing_of(content):
    """The first timing of a file."""
    return content["runs"][0]["timings"][0]


@pytest.mark.parametrize(("spoil", "words"), BAD.values(), ids=BAD)
def test_a_malformed_file_is_refused(tmp_path, spoil, words):
    """One error names the file, the field and what to do; nothing is added to such a file."""
    path, _ = timings.store(tmp_path, STACK, "mnist5k", [timed(1.0)], "today", "tox")
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    for use in (lambda: timings.read(path), lambda: timings.store(tmp_path, STACK, "mnist5k", [timed(1.0)], "now", "tox")):
        with pytest.raises(TimingsError) as error:
            use()
        assert str(error.value).startswith(f"{path}: ")
        assert words in str(error.value)
        assert str(error.value).endswith("; restore it from git, or remove it and measure again: tox run -e bench-update")
    assert json.loads(path.read_text()) == content


def test_the_table_of_a_run():
    """A row per timing; the spread of one that is not to be trusted is marked."""
    plain = Timing("model2", "plain fit", [2.0] * 3, 4000, 10**7, 3.5, 100.0, 9.0, 900.0, ratios=[1.0, 0.98, 1.05])
    assert tables.title("mnist") == "mnist: an epoch has 60000 images"
    assert tables.title("mnist5k") == "mnist5k: an epoch has 4000 images; full MNIST has 60000, 15 times as many"
    row, other = tables.rows_of([plain, Timing(None, "import", [1.0, 2.0, 3.0])])
    assert dict(zip(tables.COLUMNS, row, strict=True)) == {
        "": "model2, plain fit",
        "seconds": "2",
        "spread": "0.0%",
        "first": "3.5",
        "images/s": "2000",
        "GFLOP/s": "20.0",
        "of limit": "20%",
        "limit": "100",
        "GB/s": "9",
        "host MiB": "900",
        "device MiB": "",
        "relative to plain fit": "0.98 1.00 1.05",
    }
    assert other[:3] == ("import", "2", "50.0% !")


def test_the_table_across_machines():
    """A row per machine and model, with the share of the machine's limit and the time relative to model2's."""
    epochs = [
        timed(3.0, "plain fit", "model1", images=4000, flops=10**7, limit_gflops=100.0),
        timed(1.5, "plain fit", "model2"),
        timed(1.0, "bare step", "model2"),
    ]
    content = {"hardware": "a", "stack": STACK, "dataset": "mnist5k", "runs": [{"timings": by_key(epochs)}]}
    stack = "tensorflow 2.21.0, Keras 3.15.1"
    assert tables.rows_across([content]) == [
        ("a", stack, "mnist5k", "model1", "3", "13%", "2.00"),
        ("a", stack, "mnist5k", "model2", "1.5", "", "1.00"),
    ]
    assert tables.rows_across([]) == []


def stored(timings_of_run, cpu="AMD EPYC"):
    """A file of timings with one run, as `timings.read` returns it."""
    stack = STACK | {"cpu": cpu}
    runs = [{"date": "2026-01-02T03:04:05+00:00", "command": "pytest", "timings": by_key(timings_of_run)}]
    return {"hardware": hardware(stack), "stack": stack, "dataset": "mnist5k", "runs": runs}


def test_the_page_draws_benchmarks():
    """A section per machine, a chart per model with a bar and a limit for each epoch, none for inference and imports."""
    epoch = {"images": 4000, "flops": 10**7, "limit_gflops": 100.0}
    measured = [
        timed(4.0, "plain fit", "model1", **epoch),
        timed(2.0, "plain fit", "model2", **epoch),
        timed(2.0, "mixed bfloat16", "model2", **(epoch | {"limit_gflops": 900.0})),
        timed(1.0, "bare step", "model2", ratios=[0.4, 0.5, 0.6], **epoch),
        timed(1.0, "inference by 1", "model2", images=256, flops=10**6),
        timed(3.0, "import"),
    ]
    several = stored(measured)
    older = stored([timed(9.0, "plain fit", "model1", **epoch)])["runs"][0]
    several["runs"].insert(0, older | {"date": "2025-01-02T03:04:05+00:00"})
    html = page.page([], timings=[several, stored([timed(3.0, "import")], cpu="<other>")])
    assert re.findall('aria-label="(model[^"]*reached[^"]*)"', html) == [
        "model1, GFLOP/s reached and their limit: plain fit 10 of 100",
        "model2, GFLOP/s reached and their limit: plain fit 20 of 100; mixed bfloat16 20 of 900; bare step 40 of 100",
    ]
    assert ">40, ×0.50</text>" in html
    assert '<th scope="row">bare step</th><td>40.0</td><td>100</td><td>40%</td>' in html
    assert html.count("<summary>All timings of 2026-01-02</summary>") == 2
    assert ">limit 900</text>" in html  # it lies far outside: its mark has an arrow
    assert len(re.findall(r'<line class="limit"', html)) == 4
    assert len(re.findall(r'<path class="limit"', html)) == 1
    assert html.count("<h2>Benchmarks: ") == 2
    stack = "24-gib, tensorflow 2.21.0, Keras 3.15.1, mnist5k</h2>"
    assert f"<h2>Benchmarks: amd-epyc-2-cores-{stack}<p>Bar: GFLOP/s that an epoch of each variant reached." in html
    assert f"<h2>Benchmarks: other-2-cores-{stack}<div" in html  # no bar is drawn
    assert "<h2>Stacks</h2>" not in html
    assert html.count('<tr><th scope="row">amd-epyc-2-cores-24-gib</th>') == 2  # across machines: two models' plain fit


def test_the_command_takes_figures_alone(tmp_path, capsys):
    """`report --figures` prints the table across machines and writes the page without a report of the suite."""
    measured = [timed(2.0, "plain fit", "model2", images=4000, flops=10**7, limit_gflops=100.0)]
    runs = stored(measured)["runs"]
    timings.write(tmp_path / "figures.json", STACK, "mnist5k", runs)
    target = tmp_path / "page.html"
    assert main(["report", "--figures", str(tmp_path / "figures.json"), "--html", str(target)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    assert cells == [
        "amd-epyc-2-cores-24-gib",
        "tensorflow 2.21.0, Keras 3.15.1",
        "mnist5k",
        "model2",
        "2",
        "20%",
        "1.00",
    ]
    assert "<figcaption>model2</figcaption>" in target.read_text(encoding="utf-8")


def test_the_command_names_bad_figures(tmp_path, capsys):
    """A missing or malformed file of figures ends the command with one line that names the file."""
    (tmp_path / "half.json").write_text('{"runs": [', encoding="utf-8")
    for name, said in {"none.json": "is missing", "half.json": "is not valid JSON"}.items():
        assert main(["report", "--figures", str(tmp_path / name)]) == 3
        assert f"error: {tmp_path / name} {said}" in capsys.readouterr().err
