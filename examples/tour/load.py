"""What customers ask for, by a seed: most of it works, some of it is refused somewhere."""

from collections.abc import Iterator
from random import Random
from uuid import UUID

from examples.tour.contracts import TourRequested


def requests(seed: int, refused_share: float = 0.2) -> Iterator[tuple[UUID, TourRequested]]:
    """
    Ids and requests, the same for the same seed. Number 0 of anything is not there: a flight, hotel
    or car that is asked for under it is refused, and so is the customer's card.
    """
    chance = Random(seed)
    while True:
        wrong = chance.choice(("flight", "hotel", "car", "customer"))
        is_refused = chance.random() < refused_share
        numbers = {"flight": 20, "hotel": 20, "car": 10, "customer": 200}
        picked = {name: chance.randint(1, most) for name, most in numbers.items()}
        if is_refused:
            picked[wrong] = 0
        yield (
            UUID(int=chance.getrandbits(128), version=4),
            TourRequested(
                customer=f"customer-{picked['customer']}",
                people=chance.randint(1, 4),
                flight=f"flight-{picked['flight']}",
                hotel=f"hotel-{picked['hotel']}",
                nights=chance.randint(1, 5),
                car=f"car-{picked['car']}",
            ),
        )
