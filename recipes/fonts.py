"""Make the fonts that ship with the lettering tool from free font packages of the npm registry.

    python recipes/fonts.py [OUT_DIR]        needs npm, fonttools, brotli, and Pillow with Raqm

Each face is reduced to Latin, its hinting and layout tables are dropped, and its pair kerning is
kept as an old-style `kern` table, so that plain FreeType places letters alike on every system.
Writes the .ttf files, fonts.toml (the table that the tool reads), FONTS.md and the licence texts.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._k_e_r_n import KernTable_format_0
from PIL import ImageFont

OUT_DIR = Path(__file__).parents[1] / "src/retoucher/tools/fonts"
LATIN = [
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    *(0x2013, 0x2014, 0x2018, 0x2019, 0x201A, 0x201C, 0x201D, 0x201E, 0x2022, 0x2026, 0x2030),
    *(0x2039, 0x203A, 0x20AC, 0x20B9, 0x2116, 0x2122, 0x2212, 0x0218, 0x0219, 0x021A, 0x021B),
]
KERNED = [chr(c) for c in range(0x21, 0x7F)]
MIN_KERN_EM = 0.012


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One face: where it comes from and what the tool should know of it."""

    package: str
    member: str
    slug: str
    kind: str
    weight: int
    italic: bool = False
    caps_only: bool = False
    commonness: float = 0.5


def _expo(family: str, style: str, *, kind: str, common: float = 0.5, caps: bool = False) -> Source:
    base = "".join(p.upper() if p == "eb" else p.capitalize() for p in family.split("-"))
    match = re.match(r"(\d+)([A-Za-z]+?)(_Italic)?$", style)
    assert match is not None
    weight, word, italic = int(match[1]), match[2].lower(), bool(match[3])
    return Source(
        package=f"@expo-google-fonts/{family}",
        member=f"package/{style}/{base}_{style}.ttf",
        slug=f"{family}-{word}{'-italic' if italic else ''}",
        kind=kind,
        weight=weight,
        italic=italic,
        caps_only=caps,
        commonness=common,
    )


SOURCES = (
    _expo("arimo", "400Regular", kind="sans", common=1.0),
    _expo("arimo", "700Bold", kind="sans", common=1.0),
    _expo("arimo", "700Bold_Italic", kind="sans", common=0.6),
    _expo("archivo-black", "400Regular", kind="sans", common=0.7),
    _expo("roboto-condensed", "400Regular", kind="condensed", common=0.6),
    _expo("roboto-condensed", "700Bold", kind="condensed", common=0.8),
    _expo("oswald", "600SemiBold", kind="condensed", common=0.7),
    _expo("anton", "400Regular", kind="condensed", common=0.7),
    _expo("montserrat", "500Medium", kind="geometric", common=0.7),
    _expo("montserrat", "800ExtraBold", kind="geometric", common=0.7),
    _expo("open-sans", "400Regular", kind="humanist", common=0.9),
    _expo("open-sans", "600SemiBold", kind="humanist", common=0.8),
    _expo("nunito", "800ExtraBold", kind="rounded", common=0.6),
    _expo("roboto-slab", "400Regular", kind="slab", common=0.5),
    _expo("roboto-slab", "800ExtraBold", kind="slab", common=0.6),
    _expo("tinos", "400Regular", kind="serif", common=0.9),
    _expo("tinos", "700Bold", kind="serif", common=0.8),
    _expo("tinos", "400Regular_Italic", kind="serif", common=0.5),
    _expo("eb-garamond", "500Medium", kind="serif", common=0.5),
    _expo("bodoni-moda", "700Bold", kind="didone", common=0.5),
    _expo("courier-prime", "700Bold", kind="mono", common=0.4),
    _expo("special-elite", "400Regular", kind="mono", common=0.3),
    _expo("pacifico", "400Regular", kind="script", common=0.3),
    _expo("caveat", "700Bold", kind="hand", common=0.3),
    _expo("patrick-hand", "400Regular", kind="hand", common=0.4),
    _expo("permanent-marker", "400Regular", kind="marker", common=0.3, caps=True),
    _expo("luckiest-guy", "400Regular", kind="comic", common=0.3, caps=True),
    Source(
        package="@fontsource/saira-stencil-one",
        member="package/files/saira-stencil-one-latin-400-normal.woff2",
        slug="saira-stencil-one-regular",
        kind="stencil",
        weight=400,
        commonness=0.2,
    ),
)
REGISTERED_APACHE = "Apache License"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of one source."""

    source: Source
    family: str
    version: str
    package_version: str
    licence: str
    licence_file: str
    copyright: str
    sha256: str
    size: int


def fetch(package: str, folder: Path) -> Path:
    """Download a package with npm and unpack it; the folder that holds `package/`."""
    out = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    )
    archive = folder / out.stdout.strip().splitlines()[-1]
    target = folder / archive.stem
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target


def kerning(path: Path, units_per_em: int) -> dict[tuple[str, str], int]:
    """Pair kerning of Basic Latin in font units, as a shaping engine applies it."""
    font = ImageFont.truetype(path, units_per_em, layout_engine=ImageFont.Layout.RAQM)
    with_kern, without = ["kern", "-liga", "-calt"], ["-kern", "-liga", "-calt"]
    pairs: dict[tuple[str, str], int] = {}
    for left in KERNED:
        for right in KERNED:
            both = left + right
            value = font.getlength(both, features=with_kern) - font.getlength(
                both, features=without
            )
            if abs(value) >= MIN_KERN_EM * units_per_em:
                pairs[left, right] = round(value)
    return pairs


def reduce(path: Path, out: Path) -> None:
    """Write the Latin subset of a font with a `kern` table and without hinting."""
    options = Options()
    options.hinting = False
    options.layout_features = []
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]
    options.drop_tables += ["GPOS", "GSUB", "GDEF", "DSIG", "gasp", "STAT", "meta", "MVAR"]
    options.notdef_outline = True
    options.flavor = None
    font = TTFont(path)
    font.flavor = None
    plain = out.with_suffix(".full.ttf")
    font.save(plain)
    pairs = kerning(plain, font["head"].unitsPerEm)
    plain.unlink()
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=LATIN)
    subsetter.subset(font)
    cmap = font.getBestCmap()
    table = KernTable_format_0()
    table.coverage, table.tupleIndex, table.version = 1, None, 0
    table.kernTable = {
        (cmap[ord(a)], cmap[ord(b)]): value
        for (a, b), value in pairs.items()
        if ord(a) in cmap and ord(b) in cmap
    }
    if table.kernTable:
        kern = newTable("kern")
        kern.version, kern.kernTables = 0, [table]
        font["kern"] = kern
    font["head"].modified = font["head"].created
    font.recalcTimestamp = False
    font.save(out)


def make(source: Source, folder: Path, out_dir: Path) -> Made:
    """Make one face and copy its licence."""
    root = folder / "package"
    licence_path = root / "LICENSE_FONT"
    text = (licence_path if licence_path.exists() else root / "LICENSE").read_text("utf-8")
    apache = REGISTERED_APACHE in text[:400]
    if re.search(r"with\s+Reserved\s+Font\s+Name", text.split("-----")[0], re.IGNORECASE):
        raise SystemExit(f"{source.package}: a reserved font name; choose another face")
    family_slug = source.package.split("/")[1]
    licence_file = f"LICENSE-{family_slug}.txt"
    (out_dir / licence_file).write_text(text.strip() + "\n", "utf-8")
    out = out_dir / f"{source.slug}.ttf"
    reduce(folder / source.member, out)
    data = out.read_bytes()
    names = TTFont(out)["name"]
    package_version = re.search(r'"version":\s*"([^"]+)"', (root / "package.json").read_text())
    assert package_version is not None
    return Made(
        source=source,
        family=str(names.getDebugName(4)),
        version=str(names.getDebugName(5)).split(";")[0].removeprefix("Version "),
        package_version=package_version[1],
        licence="Apache-2.0" if apache else "OFL-1.1",
        licence_file=licence_file,
        copyright=str(names.getDebugName(0)),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
    )


def write_tables(made: list[Made], out_dir: Path) -> None:
    """fonts.toml for the tool, FONTS.md for people."""
    toml = [
        "# Made by recipes/fonts.py. `commonness` breaks ties between faces that fit alike.",
        "",
    ]
    rows = []
    for m in made:
        s = m.source
        toml += [
            "[[face]]",
            f'file = "{s.slug}.ttf"',
            f'name = "{m.family}"',
            f'kind = "{s.kind}"',
            f"weight = {s.weight}",
            f"italic = {str(s.italic).lower()}",
            f"caps_only = {str(s.caps_only).lower()}",
            f"commonness = {s.commonness}",
            "",
        ]
        origin = f"`{s.package}` {m.package_version}"
        rows.append(
            f"| {m.family} | {m.version} | {origin} | [{m.licence}]({m.licence_file}) "
            f"| {m.copyright} | {m.size / 1000:.0f} kB | `{m.sha256[:12]}` |"
        )
    (out_dir / "fonts.toml").write_text("\n".join(toml), "utf-8")
    head = (
        "# Fonts of the lettering tool\n\n"
        "Made by `python recipes/fonts.py` from the npm packages named below. Modified: reduced\n"
        "to Latin (Basic Latin, Latin-1, Latin Extended-A, punctuation and currency), hinting\n"
        "and OpenType layout tables dropped, pair kerning kept as a `kern` table. None of these\n"
        "fonts declares a Reserved Font Name.\n\n"
        "| face | version | origin | licence | copyright | size | sha256 |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    (out_dir / "FONTS.md").write_text(head + "\n".join(rows) + "\n", "utf-8")


def main() -> None:
    """Make all faces."""
    out_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT_DIR
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        folders = {p: fetch(p, Path(tmp)) for p in dict.fromkeys(s.package for s in SOURCES)}
        made = [make(s, folders[s.package], out_dir) for s in SOURCES]
    write_tables(made, out_dir)
    print(f"{len(made)} faces, {sum(m.size for m in made) / 1e6:.2f} MB, in {out_dir}")


if __name__ == "__main__":
    main()
