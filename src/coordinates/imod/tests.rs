use super::*;
use crate::coordinates::{Format, Unit};
use crate::labels::ClassId;

fn class(name: &str, colour: [u8; 3]) -> Class {
    Class { id: ClassId(0), name: name.to_owned(), radius_angstrom: 104.0, colour }
}

fn point(class: usize, position: [f64; 3], score: Option<f32>) -> ExportPoint {
    ExportPoint { class, position, score, source: None }
}

fn tomogram(points: Vec<ExportPoint>) -> ExportTomogram {
    ExportTomogram { name: "TS_1".to_owned(), shape: [72, 208, 209], spacing_angstrom: Some(10.0), points }
}

fn parse(bytes: &[u8]) -> Result<Positions, CoordinateError> {
    read(bytes, Path::new("models/TS_1.mod"), &ReadOptions::default())
}

/// A model put together from its parts, so that what other programs write can be imitated.
fn assembled(model_flags: u32, objects: i32, chunks: &[u8]) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.bytes(b"IMODV1.2");
    out.text("IMOD-NewModel", 128);
    out.ints(&[209, 208, 72, objects, model_flags as i32]);
    out.bytes(&[0; 232 - 148]);
    out.bytes(chunks);
    out.0
}

fn object_header(name: &str, contours: i32, object_flags: u32) -> Vec<u8> {
    let mut out = Writer(b"OBJT".to_vec());
    out.text(name, 64);
    out.bytes(&[0; 64]);
    out.ints(&[contours, object_flags as i32]);
    out.bytes(&[0; 176 - 136]);
    out.0
}

fn contour(points: &[[f32; 3]]) -> Vec<u8> {
    let mut out = Writer(b"CONT".to_vec());
    out.ints(&[points.len() as i32, 0, 0, 0]);
    points.iter().for_each(|point| out.floats(point));
    out.0
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut out = Writer(name.to_vec());
    out.ints(&[content.len() as i32]);
    out.bytes(content);
    out.0
}

fn floats(values: &[f32]) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.floats(values);
    out.0
}

/// The offsets and values are those of IMOD's own description of the file.
#[test]
fn a_model_is_laid_out_as_imod_describes_it() {
    let points = vec![point(1, [7.0, 10.25, 20.0], Some(0.5)), point(1, [0.0, 0.0, 0.0], None), point(1, [1.0; 3], Some(-2.0))];
    let classes = [class("empty", [0; 3]), class("ribosome", [255, 128, 0])];
    let bytes = model(&classes, &tomogram(points)).unwrap();
    let ints = |offset: usize| i32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
    let reals = |offset: usize| f32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
    assert_eq!(&bytes[..8], b"IMODV1.2");
    assert_eq!(&bytes[8..13], b"TS_1\0");
    assert_eq!([ints(136), ints(140), ints(144), ints(148)], [209, 208, 72, 2], "size along x, y, z and objects");
    // Pixel size and its unit, -10 for angstrom.
    assert_eq!((reals(8 + 128 + 20 + 16 + 24 + 20), ints(8 + 128 + 20 + 16 + 24 + 24)), (10.0, -10));
    let empty = 240;
    assert_eq!(&bytes[empty..empty + 10], b"OBJTempty\0");
    assert_eq!(ints(empty + 4 + 128), 0, "an object without contours");
    // Its material follows its header.
    assert_eq!(&bytes[empty + 180..empty + 184], b"IMAT");
    let ribosome = empty + 180 + 24;
    assert_eq!(&bytes[ribosome..ribosome + 13], b"OBJTribosome\0");
    let header = ribosome + 4;
    assert_eq!((ints(header + 128), ints(header + 132)), (1, (1 << 9) | (1 << 3)), "a contour of scattered points");
    assert_eq!([reals(header + 144), reals(header + 148), reals(header + 152)], [1.0, 128.0 / 255.0, 0.0]);
    assert_eq!(ints(header + 156), 10, "104 angstrom are 10 pixels");
    let contour = header + 176;
    assert_eq!((&bytes[contour..contour + 4], ints(contour + 4)), (&b"CONT"[..], 3));
    assert_eq!([0, 4, 8].map(|axis| reals(contour + 20 + axis)), [20.5, 10.75, 7.0], "half a pixel along x and y alone");
    let values = contour + 20 + 36;
    assert_eq!((&bytes[values..values + 4], ints(values + 4)), (&b"COST"[..], 24));
    assert_eq!((ints(values + 8), ints(values + 12), reals(values + 16)), ((10 << 16) | 0x84, 0, 0.5));
    assert_eq!((ints(values + 24), reals(values + 28)), (2, -2.0), "the third point");
    assert_eq!(&bytes[bytes.len() - 4..], b"IEOF");
    assert!(!bytes.windows(4).any(|name| name == b"MINX"), "an origin that is not known is not written");
}

#[test]
fn objects_of_every_kind_are_read() {
    let closed = [object_header("", 2, 0), contour(&[[1.5, 2.5, 3.0]]), contour(&[]), chunk(b"SIZE", &[])].concat();
    let value = |kind: i16, bits: u16, index: i32, value: f32| {
        let mut out = Writer(Vec::new());
        out.entry(kind, bits, index as u32, value);
        out.0
    };
    let values = [
        value(10, 4, 1, 0.5),
        // Of another kind, of another type, ending a change, beyond the points, and of no number.
        value(3, 4, 0, 9.0),
        value(10, 0, 0, 9.0),
        value(10, 4 | 32, 0, 9.0),
        value(10, 4, 7, 9.0),
        value(10, 4, -1, 9.0),
        value(10, 4, 2, f32::NAN),
    ];
    let mut mesh = Writer(b"MESH".to_vec());
    mesh.ints(&[2, 1, 0, 0]);
    mesh.bytes(&[0; 24 + 4]);
    let open = [
        object_header("spheres", 1, (1 << 9) | (1 << 3)),
        contour(&[[4.5, 5.5, 6.0], [7.5, 8.5, 9.0], [0.5, 0.5, 0.0]]),
        chunk(b"COST", &values.concat()),
        mesh.0,
        chunk(b"LABL", &[7; 9]),
        chunk(b"IMAT", &[0; 16]),
    ];
    let bytes = assembled(0, 2, &[closed, open.concat(), chunk(b"VIEW", &[0; 4]), b"IEOF".to_vec()].concat());
    let positions = parse(&bytes).unwrap();
    assert_eq!(positions.format, Format::Imod);
    let found: Vec<_> = positions.rows.iter().map(|row| (row.class.as_str(), row.xyz, row.score)).collect();
    let expected = [
        ("TS_1", [1.0, 2.0, 3.0], None),
        ("spheres", [4.0, 5.0, 6.0], None),
        ("spheres", [7.0, 8.0, 9.0], Some(0.5)),
        ("spheres", [0.0, 0.0, 0.0], None),
    ];
    assert_eq!(found, expected);
    assert!(positions.rows.iter().all(|row| row.unit == Unit::Voxel && row.tomogram.is_none()));
    assert!(positions.notes.iter().any(|note| note.starts_with("object 1 has contours")), "{:?}", positions.notes);
    // Bytes after the end mark are not looked at.
    assert_eq!(parse(&[&bytes[..], b"junk"].concat()).unwrap(), positions);
}

#[test]
fn a_part_of_a_volume_and_an_exchange_of_axes_are_undone() {
    let object = [object_header("a", 1, 1 << 9), contour(&[[10.5, 20.5, 30.0]])].concat();
    let minx = |origin: [f32; 3], shift: [f32; 3]| {
        let parts = [[1.0; 3], origin, [0.0; 3], [4.0, 4.0, 4.0], shift, [0.0; 3]];
        chunk(b"MINX", &parts.iter().flat_map(|part| floats(part)).collect::<Vec<_>>())
    };
    let with = |flags: u32, minx: Vec<u8>| {
        let bytes = assembled(flags, 1, &[object.clone(), minx, b"IEOF".to_vec()].concat());
        let positions = parse(&bytes).unwrap();
        (positions.rows[0].xyz, positions.notes)
    };
    // Loaded from voxel 5, 6, 7 on with an origin: ctrans = origin - 4 * start.
    let (xyz, notes) = with(1 << 14, minx([100.0, 0.0, -8.0], [80.0, -24.0, -36.0]));
    assert_eq!(xyz, [15.0, 26.0, 37.0]);
    assert!(notes.iter().any(|note| note.contains("begins at 5.00, 6.00, 7.00")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("voxels of 4 x 4 x 4")), "{notes:?}");
    assert_eq!(with(1 << 14, minx([100.0; 3], [100.0; 3])).0, [10.0, 20.0, 30.0], "the whole volume");
    assert_eq!(with(0, minx([100.0; 3], [0.0; 3])).0, [10.0, 20.0, 30.0], "otrans has no origin without its flag");
    // File coordinates (x + 0.5, z + 0.5, y).
    let (xyz, notes) = with(1 << 16, Vec::new());
    assert_eq!(xyz, [10.0, 30.0, 20.0]);
    assert!(notes[0].contains("exchanged"));
    let rotated = assembled(1 << 17, 1, &[object, b"IEOF".to_vec()].concat());
    assert!(parse(&rotated).unwrap_err().to_string().contains("rotated about x"));
}

#[test]
fn what_is_damaged_is_an_error_that_says_so() {
    let object = [object_header("a", 1, 1 << 9), contour(&[[1.0, 2.0, 3.0]])].concat();
    let lie = |count: i32| {
        let mut out = Writer([&object_header("a", 1, 0)[..], b"CONT"].concat());
        out.ints(&[count, 0, 0, 0]);
        out.0
    };
    for (bytes, reason) in [
        (b"imod 1\nobject 0 1 0\n".to_vec(), "no binary model"),
        ([&b"IMODV0.1"[..], &[0; 232]].concat(), "version \"V0.1\""),
        (b"IMODV1.2".to_vec(), "cut off"),
        (assembled(0, 1, &object), "end mark takes 4 bytes, and 0 are left"),
        (assembled(0, 2, &[&object[..], b"IEOF"].concat()), "states 2 objects and has 1"),
        (assembled(0, 1, &[&object_header("a", 1, 0)[..], b"IEOF"].concat()), "states 1 contours and has 0"),
        (assembled(0, 0, &contour(&[])), "before the first object"),
        (assembled(0, 1, &lie(i32::MAX)), "cut off"),
        (assembled(0, 1, &lie(-1)), "states -1 entries"),
        (assembled(0, 1, &[&object[..], b"VIEW\x7f\xff\xff\xff"].concat()), "VIEW takes"),
        (assembled(0, 1, &[&object[..], b"\0\0\0\0\0\0\0\0"].concat()), "no chunk"),
        (assembled(0, 1, &[&object_header("a", 1, 0)[..], &contour(&[[1.0, f32::NAN, 1.0]])].concat()), "not finite"),
        (assembled(0, 1, &[&object[..], &chunk(b"MINX", &[0; 8])].concat()), "MINX has 8 bytes"),
    ] {
        let message = parse(&bytes).unwrap_err().to_string();
        assert!(message.contains(reason) && message.ends_with("TS_1.mod"), "{reason}: {message}");
    }
}
