"""``batnet pet``: active fat on PET/CT by named criteria, and what a PET says of its SUV. Needs no torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, EXIT_REFUSED, UsageError
from ..events import Events


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "pet",
        parents=[common],
        help="active fat on PET/CT by named criteria; SUV from DICOM",
        description="Masks and measures of active fat on CT and PET by named criteria (BARCIST and others). "
        f"What is missing for an SUV is refused by name. {RESEARCH_USE_ONLY}",
        epilog="Examples: batnet pet ct.nii.gz PETDICOM --adipose adipose.seg.nrrd --out result   |   "
        "batnet pet ct.nii.gz suv.nii.gz --suv-volume --weight 75 --height 1.78 --sex M   |   "
        "batnet pet --explain PETDICOM",
    )
    parser.add_argument("ct", nargs="?", type=Path, metavar="CT", help="CT: volume or DICOM folder")
    parser.add_argument("pet", nargs="?", type=Path, metavar="PET", help="PET: DICOM folder or volume")
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="PET",
        help="tell what a DICOM PET says for its SUV and what is missing; exit code 3 when no SUV is "
        "possible",
    )
    parser.add_argument("--json", action="store_true", help="with --explain or --list: one JSON object")
    parser.add_argument(
        "--list", action="store_true", dest="list_criteria", help="list the criteria and stop"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("batnet-pet"), help="result folder (default: batnet-pet)"
    )
    parser.add_argument("--replace", action="store_true", help="replace an existing result folder")

    series = parser.add_argument_group("input")
    series.add_argument("--series", help="number or UID of the CT series, where a folder holds several")
    series.add_argument("--pet-series", help="the same for the PET")
    series.add_argument("--axes", choices=["zyx", "header"], help="axis order of a CT whose header says none")
    series.add_argument("--adipose", type=Path, metavar="MASK", help="adipose mask on the CT's grid")
    series.add_argument("--depots", type=Path, metavar="LABELS", help="label map of depots on the CT's grid")
    series.add_argument(
        "--depot-names", metavar="1=NAME,2=NAME", help="names of its labels, such as 1=cervical,2=axillary"
    )

    rules = parser.add_argument_group("criteria")
    rules.add_argument("--criteria", type=Path, metavar="FILE", help="file with criteria of your own (JSON)")
    rules.add_argument(
        "--criterion",
        action="append",
        metavar="NAME",
        help="only this one; may be repeated; refused where it cannot be assessed",
    )
    rules.add_argument("--largest", action="store_true", help="keep only the largest connected part")
    rules.add_argument(
        "--min-volume", type=float, default=0.0, metavar="MM3", help="drop connected parts below this volume"
    )
    rules.add_argument(
        "--lean-mass", choices=["janmahasatian", "james"], default="janmahasatian", help="formula of SULmax"
    )
    rules.add_argument(
        "--midline", type=float, metavar="MM", help="LPS x of the plane between right and left"
    )
    rules.add_argument("--keep-suv", action="store_true", help="also write the SUV on the CT's grid")

    by_hand = parser.add_argument_group("stated by hand (goes before the header and is named in the result)")
    by_hand.add_argument("--suv-volume", action="store_true", help="the PET volume holds SUVbw already")
    by_hand.add_argument("--weight", type=float, metavar="KG")
    by_hand.add_argument("--height", type=float, metavar="M", help="in metres")
    by_hand.add_argument("--sex", choices=["M", "F"])
    by_hand.add_argument("--dose", type=float, metavar="MBQ", help="injected activity in MBq")
    by_hand.add_argument("--injection-time", metavar="TIME", help="HH:MM[:SS] or YYYY-MM-DD HH:MM[:SS]")
    by_hand.add_argument(
        "--scan-time",
        metavar="TIME",
        help="the time that decay is corrected to, usually the start of the scan",
    )
    by_hand.add_argument("--half-life", type=float, metavar="S", help="seconds; F-18 (6586.2) for volumes")
    by_hand.add_argument(
        "--decay-corrected-to",
        choices=["scan", "injection"],
        default="scan",
        help="what a volume in Bq/mL is corrected to",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    if args.list_criteria:
        return _list(args)
    if args.explain is not None:
        return _explain(args, events)
    if args.ct is None or args.pet is None:
        raise UsageError(
            "pet-inputs-missing",
            f"{'Neither CT nor PET was' if args.ct is None else 'No PET was'} given.",
            "A CT and a PET are needed, in this order.",
            "Say: batnet pet CT PET. For the facts of a PET alone: batnet pet --explain PET.",
        )
    return _evaluate(args, events)


def _evaluate(args: argparse.Namespace, events: Events) -> int:
    from ..pet import PetOptions, choose, evaluate, load_criteria, read_pet
    from ..pet.write import save
    from ..volume import read_mask, read_volume
    from ..workfiles import whole_folder

    known = load_criteria(args.criteria)
    criteria = choose(known, args.criterion) if args.criterion else list(known.values())
    names = depot_names(args.depot_names)
    given = given_by_hand(args)
    options = PetOptions(
        largest_only=args.largest,
        min_volume_mm3=_not_negative(args.min_volume),
        lean_mass=args.lean_mass,
        midline_mm=args.midline,
        strict=bool(args.criterion),
    )
    with whole_folder(args.out, replace=args.replace) as folder:
        ct = read_volume(args.ct, axes=args.axes, series=args.series, events=events)
        pet = read_pet(args.pet, unit=_unit(args), given=given, series=args.pet_series, events=events)
        adipose = args.adipose and read_mask(args.adipose, ct, name="adipose mask", events=events)
        depots = args.depots and read_mask(args.depots, ct, name="depot label map", events=events)
        result = evaluate(
            ct,
            pet,
            criteria,
            adipose=adipose,
            depots=depots,
            depot_names=names,
            options=options,
            events=events,
        )
        result.warnings = list(events.warnings)
        save(result, folder, keep_suv=args.keep_suv, events=events)
    found = {a.criterion.name: a.rows[0].volume_ml if a.rows else None for a in result.assessments}
    events.result(str(args.out), volumes_ml=found)
    if args.events != "json":
        print(in_words(result))
        print(f"Result: {args.out}")
    return EXIT_DONE


def in_words(result: Any) -> str:
    """The totals of all criteria as a small table."""
    lines = [f"{'criterion':<42}{'volume':>11}{'right':>9}{'left':>9}{'SUVmean':>9}{'SUVmax':>8}{'HU':>7}"]
    for assessment in result.assessments:
        title = assessment.criterion.title
        if assessment.mask is None:
            lines.append(f"{title:<42}not assessable: {assessment.problem['found']}")
            continue
        both, right, left = assessment.rows[:3]
        if both.result == "none found":
            lines.append(f"{title:<42}none found")
            continue
        lines.append(
            f"{title:<42}{both.volume_ml:>8.1f} mL{_number(right.volume_ml):>9}{_number(left.volume_ml):>9}"
            f"{both.suv_mean:>9.2f}{both.suv_max:>8.2f}{both.mean_hu:>7.0f}"
        )
    return "\n".join([*lines, f"Uptake by these rules need not be brown fat. {RESEARCH_USE_ONLY}"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _explain(args: argparse.Namespace, events: Events) -> int:
    from ..pet import explain

    facts = explain(args.explain, given=given_by_hand(args), series=args.pet_series, events=events)
    print(json.dumps(facts, indent=2) if args.json else facts_in_words(facts))
    return EXIT_DONE if facts["suv"] else EXIT_REFUSED


def facts_in_words(facts: dict[str, Any]) -> str:
    """What ``explain`` found, for people."""
    lines = [f"PET of {facts['slices']} slices, {facts['manufacturer'] or 'unknown scanner'}", ""]
    for entry in facts["attributes"]:
        value = entry["value"] or ("PROBLEM" if entry["problem"] else "not recorded")
        lines.append(f"  {entry['keyword']:<34}{entry['tag']:<14}{value}")
        if entry["problem"]:
            lines.append(f"  {'':<34}{entry['problem']}")
    factors = facts["factors"]
    lines.append("")
    if factors is not None:
        lines.append(factors["formula"])
        decay = factors["decay"]
        if decay:
            uptake = decay["uptake_minutes"]
            lines.append(f"Decay corrected to: {decay['reference_time']}")
            lines.append(f"Uptake time: {'unknown' if uptake is None else f'{uptake:.0f} min'}")
        lines.append(f"SUVbw = voxel x {factors['factor_suv_bw']:.6g}")
        for key, name in (
            ("factor_sul_janmahasatian", "SUL, Janmahasatian"),
            ("factor_sul_james", "SUL, James"),
            ("factor_suv_bsa_du_bois", "SUV by body surface, Du Bois (cm2/mL)"),
        ):
            value = factors[key]
            lines.append(f"{name} = {'not possible' if value is None else f'voxel x {value:.6g}'}")
        lines += [f"Warning: {warning['text']}" for warning in factors["warnings"]]
    for problem in facts["problems"]:
        lines.append(
            f"Missing [{problem['code']}]: {problem['found']} {problem['wanted']} {problem['remedy']}"
        )
    return "\n".join([*lines, "", RESEARCH_USE_ONLY])


def _list(args: argparse.Namespace) -> int:
    from ..pet import load_criteria

    criteria = load_criteria(args.criteria).values()
    if args.json:
        print(json.dumps([criterion.as_dict() for criterion in criteria], indent=2))
    else:
        for criterion in criteria:
            print(f"{criterion.name:<22}{criterion.words()}\n{'':<22}{criterion.source}")
    return EXIT_DONE


def given_by_hand(args: argparse.Namespace) -> Any:
    """``pet.Given`` of the options."""
    from ..pet import Given

    return Given(
        weight_kg=args.weight,
        height_m=args.height,
        sex=args.sex,
        dose_bq=None if args.dose is None else args.dose * 1e6,
        injection=_moment("--injection-time", args.injection_time),
        scan=_moment("--scan-time", args.scan_time),
        half_life_s=args.half_life,
        decay_corrected_to=args.decay_corrected_to,
    )


def depot_names(text: str | None) -> dict[int, str]:
    """``1=cervical,2=axillary`` as a dictionary; raises ``UsageError``."""
    names: dict[int, str] = {}
    for part in filter(None, (text or "").split(",")):
        label, _, name = part.partition("=")
        number = int(label) if label.strip().isdecimal() else 0
        if not 1 <= number <= 255 or not name.strip() or number in names or name.strip() in names.values():
            raise UsageError(
                "pet-depot-names",
                f"{part.strip()!r} does not name a label of its own.",
                "Pairs of a label from 1 to 255 and a name are needed.",
                "Write --depot-names 1=cervical,2=supraclavicular.",
            )
        names[number] = name.strip()
    return names


def _unit(args: argparse.Namespace) -> Any:
    from ..pet.read import is_dicom

    if args.suv_volume:
        return "suv"
    stated = any(v is not None for v in (args.dose, args.injection_time, args.scan_time))
    return "bqml" if stated and not is_dicom(args.pet) else None


def _moment(option: str, text: str | None) -> Any:
    from ..pet.times import parse_moment

    if text is None:
        return None
    moment = parse_moment(text)
    if moment is None:
        raise UsageError(
            "pet-time-invalid",
            f"{option} was given as {text!r}.",
            "A time is needed.",
            "Write HH:MM or HH:MM:SS, or with a date YYYY-MM-DD HH:MM.",
        )
    return moment


def _not_negative(value: float) -> float:
    if not value >= 0:
        raise UsageError(
            "pet-min-volume",
            f"--min-volume was given as {value:g}.",
            "It must be zero or more, in mm3.",
            "Correct it.",
        )
    return value
