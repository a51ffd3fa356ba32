"""Single events by their ids."""

from tests.acceptance.drivers import Driver, new, refusal


async def test_each_event_is_found_by_its_id(driver: Driver) -> None:
    receipts = await driver.append([new(n) for n in range(30)])
    for n, receipt in enumerate(receipts):
        found = await driver.get(receipt["id"])
        assert (found["id"], found["index"], found["data"]) == (receipt["id"], n, n)
        # People type them.
        assert await driver.get(receipt["id"].lower()) == found


async def test_id_that_no_event_has_is_not_found(driver: Driver) -> None:
    await driver.append([new(n) for n in range(30)])
    for event_id in ("0" * 26, "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", "7" + "Z" * 25):
        assert await refusal(driver.get(event_id)) == ("not_found", None)


async def test_text_that_is_no_id_is_refused(driver: Driver) -> None:
    for event_id in ("", "0" * 25, "8" + "0" * 25, "U" * 26, "é" * 26, "0" * 27):
        assert await refusal(driver.get(event_id)) == ("invalid_params", "id")
