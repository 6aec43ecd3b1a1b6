"""Write the six novels of Jane Austen as text files, and `ardm/data/pride_and_prejudice.xz`.

    pip install rdata
    python scripts/make_novels.py FOLDER [--bundle]

The texts are those of the R package janeaustenr (`apt-get install r-cran-janeaustenr`), which took
them from Project Gutenberg. FOLDER receives one file per novel. With `--bundle` the file in the
package is written, too. `ardm/data/README.md` describes it.
"""

import argparse
import hashlib
import struct
import sys
import zlib
from pathlib import Path

from ardm.data import bundled_text

INSTALLED = Path("/usr/lib/R/site-library/janeaustenr/data")
BUNDLED = "prideprejudice"


def novels(folder: Path) -> dict[str, str]:
    """Read the texts of the R package.

    Args:
        folder: the directory `data` of the installed package.

    Returns:
        The text of each novel by its name in the package; every line ends with a newline.
    """
    import rdata

    def value(data: bytes) -> object:
        return rdata.conversion.convert(rdata.parser.parse_data(data, extension=".rds"))

    # R loads such data lazily: an index names the place of each object in one file. An object is
    # its size in four bytes, then its serialization, compressed with zlib.
    index = value((folder / "Rdata.rdx").read_bytes())["variables"]
    content = (folder / "Rdata.rdb").read_bytes()
    texts = {}
    for name, (offset, length) in index.items():
        packed = content[offset : offset + length]
        data = zlib.decompress(packed[4:])
        if len(data) != struct.unpack(">I", packed[:4])[0]:
            sys.exit(f"error: {folder}/Rdata.rdb: {name} is damaged; install the package anew")
        texts[str(name)] = "".join(f"{line}\n" for line in value(data))
    return texts


def main() -> None:
    """Write the files and print their digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the text files are written")
    parser.add_argument("--package", type=Path, default=INSTALLED, help="default: %(default)s")
    parser.add_argument("--bundle", action="store_true", help="also write the file in the package")
    arguments = parser.parse_args()
    if not (arguments.package / "Rdata.rdb").is_file():
        sys.exit(
            f"error: {arguments.package}: expected Rdata.rdb of the R package janeaustenr, found "
            "none; apt-get install r-cran-janeaustenr, or give --package"
        )
    texts = novels(arguments.package)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (arguments.folder / f"{name}.txt").write_text(text)
        print(f"{name}: {len(text):,} characters")
    if arguments.bundle:
        data = bundled_text.pack(texts[BUNDLED].encode())
        bundled_text.FILE.write_bytes(data)
        print(f"wrote {bundled_text.FILE}, {len(data):,} bytes")
        print(f"SHA-256: {hashlib.sha256(data).hexdigest()} (bundled_text.FILE_SHA256)")


if __name__ == "__main__":
    main()
