"""The face (照面信息) of a demonstration certificate: the templates of its type over what is told of it."""

import random

from deploy.demo.holders import DemoHolder, demo_holders, person_name
from deploy.demo.issuers import Place
from deploy.demo.terms import Term
from deploy.demo.types import DemoType
from schemas.certificates import SurfaceField
from schemas.holders import HolderCategory

Facts = dict[str, object]


def facts_of(
    kind: DemoType, holder: DemoHolder, place: Place, span: Term, *, serial: int, seed: int, draw: random.Random
) -> Facts:
    """Return everything the templates of `types.py` may name; `number` is the certificate's own."""
    pool = demo_holders(seed)
    partner = draw.choice(pool[HolderCategory.PERSON])
    while partner.sex == holder.sex:
        partner = draw.choice(pool[HolderCategory.PERSON])
    facts: Facts = {
        "name": holder.name,
        "code": holder.code,
        "sex": holder.sex,
        "born": holder.born,
        "partner": partner.name,
        "partner_code": partner.code,
        "child": person_name(draw, surname=partner.name[0]),
        "company": draw.choice(pool[HolderCategory.ORGANISATION]).name,
        "mobile": f"120{draw.randrange(10**8):08d}",  # no mobile operator has 120
        "home": f"{place.city}示例路{draw.randrange(1, 400)}号{draw.randrange(101, 2_000)}室",
        "short": place.short,
        "area": place.area,
        "city": place.city,
        "serial": serial,
        "year": span.issued.year,
        "issue_date": span.issued.isoformat(),
        "valid_from": span.begins.isoformat(),
        "valid_to": span.ends.isoformat() if span.ends else "长期",
    }
    return facts | {"number": kind.number.format_map(facts)}


def face(kind: DemoType, facts: Facts, draw: random.Random) -> tuple[SurfaceField, ...]:
    """Return the fields of the face, one of the alternatives chosen where a template has several."""
    return tuple(
        SurfaceField(
            name=field.label,
            column_name=field.column,
            value=draw.choice(field.value.split("|")).format_map(facts),
        )
        for field in kind.fields
    )
