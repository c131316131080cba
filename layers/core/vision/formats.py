"""The first bytes of a file -> its format: those on the list, and those known by sight to be refused."""

from __future__ import annotations

from vision.errors import InvalidImage, TooLarge, UnsupportedFormat

CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
}
MAX_BOXES = 1000  # of an AVIF, side by side; three are common
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
)
# Known by sight, to answer "not on the list" instead of "not an image".
_FOREIGN_SIGNATURES = (
    (b"%PDF-", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    # Pillow takes it for a TIFF of another layout than libtiff does.
    (b"MM\x00+", "big-endian BigTIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"gimp xcf", "XCF"),
    (b"<svg", "SVG"),
    (b"%!PS", "PostScript"),
    (b"\x89MNG", "MNG"),
)
_NETPBM = tuple(b"P%d" % number for number in range(1, 8))


def format_of(data: bytes) -> str:
    """Gives the format of an image file, a key of `CONTENT_TYPES`.

    Raises:
        InvalidImage: when the bytes are no image.
        UnsupportedFormat: when the format is not on the list.
    """
    if not data:
        raise InvalidImage("the image is empty: 0 bytes")
    head = data[:64]
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and (b"avif" in head[8:48] or b"avis" in head[8:48]):
        return "AVIF"
    listed = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF are taken"
    foreign = _foreign_format_of(head)
    if foreign:
        raise UnsupportedFormat(f"{foreign} is not supported; {listed}")
    raise InvalidImage(f"the {len(data):,} bytes are not an image; {listed}")


def check_aperture(data: bytes) -> None:
    """Refuses an AVIF with a clean aperture, a crop that its decoder does not do, and one of countless boxes.

    Raises:
        UnsupportedFormat: when it has an aperture.
        TooLarge: when it has more than `MAX_BOXES` boxes in a row.
    """
    place = 0
    for _ in range(MAX_BOXES):
        if place + 8 > len(data):
            return
        size = int.from_bytes(data[place : place + 4], "big")
        if size == 1:  # 64 bits of size follow; pixels may come so, and before all else
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        end = place + size if size else len(data)
        if data[place + 4 : place + 8] == b"meta" and b"clap" in data[place:end]:
            raise UnsupportedFormat(
                "an AVIF with a clean aperture (a crop) is not supported; save it cropped"
            )
        place = max(end, place + 8)
    raise TooLarge(f"the AVIF image has more than {MAX_BOXES:,} boxes; save it again")


def _foreign_format_of(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        is_heif = head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
        return "HEIC" if is_heif else "video"
    if head.startswith(b"<?xml") and b"<svg" in head:
        return "SVG"
    if head[:2] in _NETPBM and head[2:3].isspace():
        return "Netpbm"
    return next((name for signature, name in _FOREIGN_SIGNATURES if head.startswith(signature)), "")
