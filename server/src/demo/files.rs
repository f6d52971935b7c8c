//! Small real files to attach: they open in whatever opens files of their kind.

use message::compose::OutgoingAttachment;

/// A file of this kind, its content made from its name.
pub(super) fn file(kind: &str, name: &str) -> Option<OutgoingAttachment> {
    let (content_type, bytes) = match kind {
        "pdf" => ("application/pdf", pdf(name)),
        "png" => ("image/png", png(name)),
        "zip" => ("application/zip", zip("README.txt", format!("{name}\n").as_bytes())),
        "csv" => ("text/csv", csv()),
        "ics" => ("text/calendar", ics()),
        _ => return None,
    };
    let content_type = content_type.to_owned();
    Some(OutgoingAttachment { filename: name.to_owned(), content_type, bytes, content_id: None })
}

/// One page with one line.
fn pdf(name: &str) -> Vec<u8> {
    let ascii: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '.' }).collect();
    let content = format!("BT /F1 24 Tf 72 720 Td ({ascii}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (index, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let count = objects.len() + 1;
    let start = out.len();
    out.push_str(&format!(
        "xref\n0 {count}\n{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}

const WIDTH: u32 = 240;
const HEIGHT: u32 = 160;

/// Hills under a sky, in colours that depend on the name.
fn png(name: &str) -> Vec<u8> {
    let hue = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let [r, g, b, _] = hue.to_le_bytes();
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        rows.push(0);
        for x in 0..WIDTH {
            let hill = HEIGHT / 2 + (x * (u32::from(r) % 5 + 1) / 7 + u32::from(g)) % 48;
            let shade = u8::try_from((y * 90 / HEIGHT) % 256).unwrap_or(0);
            let pixel = if y > hill {
                [40 + r / 4, 90 + g / 3, 60 + b / 5]
            } else {
                [120 + r / 6 + shade, 150 + g / 8 + shade / 2, 220]
            };
            rows.extend_from_slice(&pixel);
        }
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [WIDTH.to_be_bytes(), HEIGHT.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"IDAT", &zlib(&rows));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let body = [kind.as_slice(), data].concat();
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32(&body).to_be_bytes());
}

/// RFC 1950 around stored blocks of RFC 1951.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(0xFFFF);
    let last = blocks.len().saturating_sub(1);
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(0);
        out.push(u8::from(index == last));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// An archive with one stored file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let crc = crc32(content).to_le_bytes();
    let size = u32::try_from(content.len()).unwrap_or(0).to_le_bytes();
    let name_size = u16::try_from(name.len()).unwrap_or(0).to_le_bytes();
    // Version, flags, method, time, date; then checksum, sizes, and lengths of name and extra field.
    let about =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x50][..], &crc, &size, &size, &name_size, &[0, 0]].concat();
    let mut out = [b"PK\x03\x04".as_slice(), &about, name.as_bytes(), content].concat();
    let start = u32::try_from(out.len()).unwrap_or(0);
    let directory = [b"PK\x01\x02\x14\x00".as_slice(), &about, &[0; 14], name.as_bytes()].concat();
    let length = u32::try_from(directory.len()).unwrap_or(0);
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

fn csv() -> Vec<u8> {
    let mut out = String::from("\u{feff}minute,messages,p50_ms,p99_ms\r\n");
    for minute in 0..30_u32 {
        let bump = if minute == 18 { 9 } else { 0 };
        out.push_str(&format!("{minute},{},{},{}\r\n", 4_700 + minute * 7 % 130, 3 + minute % 2, 11 + bump));
    }
    out.into_bytes()
}

fn ics() -> Vec<u8> {
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Skyway//Tickets//EN\r\nBEGIN:VEVENT\r\nUID:flight-24a@skyway.example\r\n\
      DTSTAMP:20260101T000000Z\r\nDTSTART:20261224T043000Z\r\nDTEND:20261224T161500Z\r\nSUMMARY:ICN to FRA\r\n\
      END:VEVENT\r\nEND:VCALENDAR\r\n"
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_right() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(zlib(b"abc"), b"\x78\x01\x01\x03\x00\xfc\xffabc\x02\x4d\x01\x27");
    }

    #[test]
    fn every_kind_begins_as_it_should() {
        for (kind, magic) in [("pdf", &b"%PDF-"[..]), ("png", b"\x89PNG"), ("zip", b"PK\x03\x04")] {
            assert!(file(kind, "이름").unwrap().bytes.starts_with(magic), "{kind}");
        }
        assert!(file("exe", "x").is_none());
    }
}
