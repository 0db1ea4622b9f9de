//! Reading over HTTP from small servers that the tests start.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::volume::is_url;
use crate::volume::zarr::open_url_with;
use crate::volume::zarr::request::Patience;

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Ranges,
    /// Sends whole files whatever is asked for.
    NoRanges,
    /// Fails the first time each file is asked for.
    FailsOnce,
    FailsAlways,
    /// Accepts and says nothing.
    Hangs,
    /// Promises the whole body, sends half; right the second time.
    HalfOnce,
    /// 403 for what is not there, like S3.
    Forbids,
    /// Sends everything elsewhere, without end.
    Redirects,
}

#[derive(Default)]
struct Log {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

struct Server {
    address: std::net::SocketAddr,
    log: Arc<Log>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(folder: PathBuf, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, quit) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let (logged, ends) = (log.clone(), quit.clone());
        let serve = move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    let (folder, log, ends) = (&folder, &logged, &ends);
                    let name = "test connection".to_owned();
                    std::thread::Builder::new()
                        .name(name)
                        .spawn_scoped(scope, move || {
                            let _ = answer(stream.unwrap(), folder, manner, log, ends);
                        })
                        .unwrap();
                }
            });
        };
        let thread = std::thread::Builder::new().name("test server".to_owned()).spawn(serve).unwrap();
        Self { address, log, quit, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/x.zarr", self.address)
    }

    fn requests(&self) -> usize {
        self.log.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// One request a connection.
fn answer(mut stream: TcpStream, folder: &Path, manner: Manner, log: &Log, quit: &AtomicBool) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    log.requests.fetch_add(1, Ordering::Relaxed);
    let again = {
        let mut asked = log.asked.lock().unwrap();
        asked.push(path.clone());
        asked.iter().filter(|other| **other == path).count() > 1
    };
    let mut respond = |status: &str, headers: &str, body: &[u8], length: usize| {
        log.bytes.fetch_add(body.len(), Ordering::Relaxed);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)
    };
    match manner {
        Manner::Hangs => {
            while !quit.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            return Ok(());
        }
        Manner::FailsAlways => return respond("503 Busy", "", b"", 0),
        Manner::FailsOnce if !again => return respond("500 Oops", "", b"", 0),
        Manner::Redirects => return respond("302 Found", &format!("Location: {path}x\r\n"), b"", 0),
        _ => {}
    }
    let Ok(body) = std::fs::read(folder.join(path.trim_start_matches('/'))) else {
        return if manner == Manner::Forbids {
            respond("403 Forbidden", "", b"", 0)
        } else {
            respond("404 Not Found", "", b"", 0)
        };
    };
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    match range {
        Some(range) if manner != Manner::NoRanges => {
            let (first, last) = range.trim().split_once('-').unwrap();
            let (start, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
                (Ok(first), Ok(last)) => (first, (last + 1).min(body.len())),
                (Ok(first), Err(_)) => (first, body.len()),
                (Err(_), last) => (body.len() - last.unwrap(), body.len()),
            };
            if start >= body.len() {
                return respond("416 Range Not Satisfiable", "", b"", 0);
            }
            let headers = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, body.len());
            respond("206 Partial Content", &headers, &body[start..end], end - start)
        }
        _ if manner == Manner::HalfOnce && !again => respond("200 OK", "", &body[..body.len() / 2], body.len()),
        _ => respond("200 OK", "", &body, body.len()),
    }
}

fn quick() -> Patience {
    let millis = Duration::from_millis;
    Patience { attempts: 3, pause: millis(2), connect: millis(500), silence: millis(400), answer: millis(10_000) }
}

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

const SHAPE: [usize; 3] = [64, 64, 64];

fn value(index: usize) -> f32 {
    // Hard to compress, so that parts are much shorter than the whole.
    (index.wrapping_mul(2_654_435_761) >> 7 & 0xffff) as f32
}

/// A sharded level and a coarser one with Blosc.
fn hierarchy() -> Hierarchy {
    let hierarchy = Hierarchy::new();
    hierarchy.multiscales_v3(Some("angstrom"), &[[10.0; 3], [20.0; 3]]);
    let blosc = json!({"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}});
    hierarchy.array("0", &v3(&SHAPE, &[64, 64, 64], "float32", &sharded(&[16, 32, 32], &json!([little(), blosc]))), value);
    hierarchy.array("1", &v3(&[32; 3], &[32; 3], "float32", &json!([little(), blosc])), value);
    hierarchy
}

fn open_at(server: &Server) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    open_url_with(&server.url(), quick())
}

fn expected() -> Vec<f32> {
    (0..SHAPE.iter().product()).map(value).collect()
}

#[test]
fn addresses_are_told_from_files() {
    assert!(is_url(Path::new("https://host/x.zarr")) && is_url(Path::new("HTTP://host")));
    assert!(!is_url(Path::new("http/x.zarr")) && !is_url(Path::new("é")) && !is_url(Path::new("")));
}

#[test]
fn every_manner_of_server_that_works_gives_the_voxels() {
    let hierarchy = hierarchy();
    for manner in [Manner::Ranges, Manner::NoRanges, Manner::FailsOnce, Manner::HalfOnce, Manner::Forbids] {
        let server = Server::start(hierarchy.folder.path().to_path_buf(), manner);
        let source = open_at(&server).unwrap_or_else(|error| panic!("{manner:?}: {error}"));
        assert_eq!((source.info().spacing_angstrom, source.levels().len()), (Some(10.0), 2), "{manner:?}");
        assert_eq!(source.info().path, Path::new(&server.url()));
        assert_eq!(read_all(source.as_ref()).unwrap(), expected(), "{manner:?}");
        let coarse = read(source.as_ref(), 1, VoxelBox::whole([32; 3])).unwrap();
        assert_eq!(coarse, (0..32 * 32 * 32).map(value).collect::<Vec<_>>(), "{manner:?}");
        // All of it is kept now.
        let asked = server.requests();
        assert_eq!(read_all(source.as_ref()).unwrap(), expected(), "{manner:?}");
        assert_eq!(server.requests(), asked, "{manner:?}");
    }
}

#[test]
fn a_part_is_fetched_as_a_part() {
    let hierarchy = hierarchy();
    let whole = std::fs::metadata(hierarchy.path().join("0/c/0/0/0")).unwrap().len() as usize;
    for (manner, most) in [(Manner::Ranges, whole / 4), (Manner::NoRanges, whole * 3 / 2)] {
        let server = Server::start(hierarchy.folder.path().to_path_buf(), manner);
        let source = open_at(&server).unwrap();
        assert_eq!(read(source.as_ref(), 0, VoxelBox::new([40, 40, 40], [41, 41, 42])).unwrap().len(), 2);
        let bytes = server.log.bytes.load(Ordering::Relaxed);
        assert!(bytes < most, "{manner:?}: {bytes} of {whole}");
    }
}

#[test]
fn a_large_blosc_chunk_is_fetched_in_parts() {
    let hierarchy = Hierarchy::new();
    let shape = [48, 256, 256];
    hierarchy.array("", &v2(&shape, &shape, "<f4"), value);
    let whole = std::fs::metadata(hierarchy.path().join("0/0/0")).unwrap().len() as usize;
    for (manner, most) in [(Manner::Ranges, whole / 2), (Manner::NoRanges, whole + 10_000)] {
        let server = Server::start(hierarchy.folder.path().to_path_buf(), manner);
        let source = open_at(&server).unwrap();
        let slice = read(source.as_ref(), 0, VoxelBox::new([20, 0, 0], [21, 256, 256])).unwrap();
        assert_eq!(slice, (20 * 65536..21 * 65536).map(value).collect::<Vec<_>>());
        let bytes = server.log.bytes.load(Ordering::Relaxed);
        assert!(bytes < most, "{manner:?}: {bytes} of {whole}");
        assert_eq!(read_all(source.as_ref()).unwrap(), (0..48 * 65536).map(value).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_not_there_is_the_fill_value_and_is_not_asked_for_again() {
    for manner in [Manner::Ranges, Manner::NoRanges, Manner::Forbids] {
        let hierarchy = Hierarchy::new();
        hierarchy.multiscales_v2(Some("angstrom"), &[[10.0; 3]]);
        hierarchy.array("0", &v2(&[8, 8, 8], &[4, 8, 8], "<f4"), value);
        std::fs::remove_file(hierarchy.path().join("0/1/0/0")).unwrap();
        let server = Server::start(hierarchy.folder.path().to_path_buf(), manner);
        let source = open_at(&server).unwrap();
        let voxels = read_all(source.as_ref()).unwrap();
        assert!(voxels[256..].iter().all(|&value| value == 0.0) && voxels[..256].iter().any(|&value| value != 0.0), "{manner:?}");
    }
}

#[test]
fn an_array_at_an_address_has_the_spacing_of_its_image() {
    let hierarchy = hierarchy();
    let server = Server::start(hierarchy.folder.path().to_path_buf(), Manner::Ranges);
    let source = open_url_with(&format!("{}/1/", server.url()), quick()).unwrap();
    assert_eq!((source.info().spacing_angstrom, source.info().shape), (Some(20.0), [32; 3]));
}

#[test]
fn failures_name_the_address_and_what_to_do() {
    let hierarchy = hierarchy();
    for (manner, words, attempts) in [
        (Manner::FailsAlways, "failed or is busy (503) (3 attempts); check the network", 3),
        (Manner::Hangs, "did not answer in time (3 attempts); check the network", 3),
        (Manner::Redirects, "redirects more than 5 times", 6),
    ] {
        let server = Server::start(hierarchy.folder.path().to_path_buf(), manner);
        let start = Instant::now();
        let message = open_at(&server).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(words), "{manner:?}: {message}");
        assert!(message.contains(&server.url()), "{manner:?}: {message}");
        assert_eq!(server.requests(), attempts, "{manner:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{manner:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    for (manner, words) in [(Manner::Ranges, "no Zarr at this address"), (Manner::Forbids, "refuses access, or there is no Zarr")]
    {
        let server = Server::start(empty.path().to_path_buf(), manner);
        let message = open_at(&server).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(words) && message.ends_with(&server.url()), "{message}");
    }
    // Nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = open_url_with(&format!("http://{address}/x.zarr"), quick()).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("no connection to the server"), "{message}");
    let message = open(Path::new("http://")).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("address"), "{message}");
}

#[test]
fn a_network_that_comes_back_is_used_again() {
    let hierarchy = hierarchy();
    let server = Server::start(hierarchy.folder.path().to_path_buf(), Manner::Ranges);
    let source = open_at(&server).unwrap();
    let chunk = hierarchy.path().join("0/c/0/0/0");
    let good = std::fs::read(&chunk).unwrap();
    std::fs::write(&chunk, &good[..100]).unwrap();
    let message = read_all(source.as_ref()).unwrap_err().to_string();
    assert!(message.contains("0/c/0/0/0") && message.contains(&server.url()), "{message}");
    std::fs::write(&chunk, &good).unwrap();
    assert_eq!(read_all(source.as_ref()).unwrap(), expected());
}
