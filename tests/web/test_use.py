"""The pages in use: by keyboard, by address, from click to executed result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from axe import violations
from conftest import RUN, serve, stop, wait_for, watch
from tally import TALLY


def test_the_first_tab_skips_to_the_content(watched) -> None:
    watched.run("overview")
    watched.page.keyboard.press("Tab")
    assert watched.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    watched.page.keyboard.press("Enter")
    assert watched.page.evaluate("document.activeElement.id") == "main"


def test_everything_is_reached_by_tab_and_seen(watched) -> None:
    watched.run("capability?name=canary")
    page = watched.page
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, summary')]
          .filter((item) => item.checkVisibility({visibilityProperty: true})
                  && !item.closest('[aria-hidden=true]')).length"""
    )
    seen = set()
    for _ in range(3 * wanted):
        page.keyboard.press("Tab")
        where = page.evaluate(
            """() => { const item = document.activeElement; if (item === document.body) return null;
            item.dataset.tab ??= String(window.tabs = (window.tabs ?? 0) + 1);
            const style = getComputedStyle(item);
            return [item.dataset.tab, style.outlineStyle !== 'none' || item.matches('.skip')]; }"""
        )
        if where is None or where[0] in seen:
            break
        assert where[1], "focus is not shown"
        seen.add(where[0])
    assert len(seen) >= wanted


def test_a_form_changes_the_address_and_the_address_restores_the_form(watched) -> None:
    watched.run("trace")
    page = watched.page
    page.get_by_label("group", exact=True).fill("lm_head")
    page.get_by_label("from step").fill("3")
    page.get_by_label("to step").fill("20")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**start=3**")
    address = page.url
    assert "measure=" not in address  # empty fields say nothing
    first = page.locator("#ranking tbody tr").first.inner_text()
    page.goto("about:blank")
    page.goto(address)
    assert page.get_by_label("group", exact=True).input_value() == "lm_head"
    assert page.get_by_label("to step").input_value() == "20"
    assert page.locator("#ranking tbody tr").first.inner_text() == first


def test_tables_turn_on_the_server(watched) -> None:
    watched.run("examples")
    page = watched.page
    assert page.locator("#examples tbody tr").count() == 50
    page.get_by_role("link", name="next").click()
    page.wait_for_url("**page=2**")
    assert page.locator("#examples tbody tr td").first.inner_text() == "50"


def test_the_theme_is_kept(watched) -> None:
    watched.run("overview")
    page = watched.page
    page.get_by_role("button", name="Light or dark").click()
    chosen = page.evaluate("document.documentElement.dataset.theme")
    watched.run("trace")
    assert page.evaluate("document.documentElement.dataset.theme") == chosen


def test_commands_are_copied(watched) -> None:
    watched.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched.run("trace?group=lm_head")
    watched.page.get_by_role("button", name="Copy command 1").click()
    copied = watched.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("gradledger trace ")
    assert "--group lm_head" in copied


def test_commands_of_a_page_give_its_figures(watched, demo: Path) -> None:
    watched.run("trace?group=lm_head")
    command = watched.page.locator(".command code").first.inner_text()
    words = command.replace("gradledger ", "", 1).split()
    answer = subprocess.run(
        [sys.executable, "-m", "gradledger.cli.main", *words],
        capture_output=True, text=True, check=True, cwd=demo,
    )  # fmt: skip
    shown = watched.page.locator("#ranking tbody tr").first.locator("td").all_inner_texts()
    assert shown[1] in answer.stdout
    assert shown[2].strip() in answer.stdout


def test_from_the_start_to_what_a_removal_does_in_under_ten_clicks(watched, demo: Path) -> None:
    """Find the example that most shaped a probe, who admitted it, and what removing it does."""
    page, clicks = watched.page, 0

    def click(place) -> None:
        nonlocal clicks
        clicks += 1
        place.click()

    watched.open("/runs")
    click(page.get_by_role("link", name=RUN).first)
    click(page.get_by_role("link", name="licence headers").first)
    click(page.locator("#ranking tbody tr").first.get_by_role("link").first)
    assert page.get_by_role("heading", level=1).inner_text().startswith("Example ")
    assert "admit" in page.locator("#short").inner_text()
    assert "yes" in page.locator("#rules").inner_text()
    click(page.get_by_role("link", name="what if it were removed"))
    assert "step 1" in page.locator("#plan").inner_text() or page.locator("#plan dd").count()
    click(page.get_by_role("button", name="Execute the run again"))
    page.wait_for_selector("progress")
    page.wait_for_selector("#observations, #executed", timeout=240_000)
    page.wait_for_load_state()
    shown = page.locator("#observations").inner_text()
    assert "licence headers" in shown
    assert page.locator("#executed .badge.executed").count() >= 1
    TALLY["clicks"] = clicks
    assert clicks < 10
    # The result is kept: the address shows it, and nothing is offered to be executed again.
    assert list((demo / "runs" / f"{RUN}.replays").glob("*/result.json"))
    page.goto(page.url)
    assert page.locator("#executed").count() == 1
    assert page.get_by_role("button", name="Execute the run again").count() == 0


def test_a_text_is_read_and_looked_for_in_contents(watched) -> None:
    """Words of a file that was trained on: read by the final model, found again by its contents."""
    page = watched.page
    watched.run("example?example=100")
    content = page.locator("#content pre").inner_text()
    watched.run("behaviour")
    page.get_by_label("text", exact=True).fill(content)
    page.get_by_role("button", name="Read it").click()
    page.wait_for_selector("#reading table", timeout=120_000)
    page.wait_for_load_state()
    assert page.locator("#reading .badge.exact").count() == 1
    rows = page.locator("#reading tbody tr")
    lines = [line for line in content.split("\n") if line.strip()]
    # Empty lines go with the one before them.
    assert rows.count() == len(lines)
    for row, line in zip(rows.all(), lines, strict=True):
        assert line.strip() in row.inner_text()
    assert "100" in page.locator("#alike tbody tr").first.inner_text()
    page.locator("#reading tbody tr").first.get_by_role("link").first.click()
    page.wait_for_url("**span=0-**")
    assert page.get_by_role("button", name="Differentiate the run").count() == 1
    assert not violations(page)


def test_another_policy_is_pasted_and_what_it_would_have_changed_is_told(watched) -> None:
    watched.run("whatif")
    page = watched.page
    document = page.locator("#another-policy textarea")
    text = document.input_value()
    assert "effect: admit" in text
    stricter = text.replace('version: "1.0.0"', 'version: "9.9.9"').replace(
        "effect: admit", "effect: deny", 1
    )
    document.fill(stricter)
    page.get_by_role("button", name="Ask what it would have changed").click()
    page.wait_for_url("**do=policy**")
    assert "@9.9.9" in page.get_by_role("heading", level=1).inner_text()
    assert "remove" in page.locator("#plan").inner_text()
    assert 'version: "9.9.9"' in page.locator("#policy pre").inner_text()
    assert page.get_by_role("button", name="Execute the run again").count() == 1


def test_a_run_is_verified_from_its_page(watched) -> None:
    watched.run("verify")
    watched.page.get_by_role("button", name="Verify").click()
    watched.page.wait_for_selector("#findings", timeout=120_000)
    assert "V902" in watched.page.locator("#findings").inner_text()
    assert "holds" in watched.page.locator("#signatures").inner_text()
    key = watched.page.locator("#keys tbody tr td").last.inner_text()
    watched.page.get_by_label("verifier keys from elsewhere").fill(key)
    watched.page.get_by_role("button", name="Check signatures").click()
    watched.page.wait_for_url("**key=**")
    assert "given from elsewhere" in watched.page.locator("#signatures").inner_text()
    watched.run("overview")
    assert "clean" in watched.page.locator("#state").inner_text()


def test_a_report_is_made_and_handed_over(watched) -> None:
    watched.run("report")
    page = watched.page
    page.get_by_role("button", name="Make the report").click()
    page.wait_for_selector("text=HTML file", timeout=120_000)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="HTML file").first.click()
    assert "<!doctype html>" in Path(waiting.value.path()).read_text(encoding="utf-8").lower()


def test_a_receipt_is_handed_over(watched) -> None:
    watched.run("example?example=100")
    with watched.page.expect_download() as waiting:
        watched.page.get_by_role("link", name="receipt").click()
    assert waiting.value.suggested_filename == "receipt-100.json"


TRAINING = """
import sys, time, torch, gradledger as gl
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
data = TensorDataset(torch.randn(400, 4), torch.randint(0, 2, (400,)))
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
run = gl.record(sys.argv[1], model, optimizer)
loader = DataLoader(run.admit(data), batch_size=4)
for batch in run.batches(loader):
    with run.step(batch):
        torch.nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    print(flush=True)
    if not sys.stdin.readline():
        break
run.close()
"""


def test_a_run_that_trains_is_followed_live(browser, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(runs / "live")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def steps(count: int) -> None:
        for _ in range(count):
            training.stdout.readline()
            training.stdin.write("\n")
            training.stdin.flush()

    served = serve(runs, tmp_path)
    found = None
    try:
        steps(10)
        found = watch(browser, served)
        found.open("/run/live/overview")
        booked = found.page.locator("#state dt", has_text="steps booked").locator("xpath=../dd")
        before = int(booked.inner_text())
        assert before >= 10
        found.page.evaluate("window.same = true")
        steps(15)
        wait_for(lambda: int(booked.inner_text()) >= before + 15, 30)
        assert found.page.evaluate("window.same")  # parts were put in place, the page was not left
        training.stdin.close()
        training.wait(timeout=60)
        wait_for(lambda: "The run" in found.page.locator("#state h2").inner_text(), 30)
        assert not found.problems
    finally:
        training.kill()
        training.stdout.close()
        training.wait()
        stop(served)
        if found:
            found.page.context.close()
