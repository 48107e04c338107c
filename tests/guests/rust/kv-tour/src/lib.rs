//! What a component asks of `wasi:keyvalue`.

wit_bindgen::generate!({ path: "wit", world: "kv-tour", generate_all });

use wasi::keyvalue::atomics::{self, Cas, CasError};
use wasi::keyvalue::batch;
use wasi::keyvalue::store::{self, Bucket, Error};

struct Tour;

fn words(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(words) => words,
    }
}

fn bucket() -> Result<Bucket, String> {
    store::open("default").map_err(words)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Guest for Tour {
    fn open(store: String) -> Result<(), String> {
        store::open(&store).map(drop).map_err(words)
    }

    fn get(key: String) -> Result<Option<String>, String> {
        Ok(bucket()?.get(&key).map_err(words)?.map(text))
    }

    fn set(key: String, value: String) -> Result<(), String> {
        bucket()?.set(&key, value.as_bytes()).map_err(words)
    }

    fn fill(key: String, bytes: u32) -> Result<(), String> {
        bucket()?.set(&key, &vec![b'x'; bytes as usize]).map_err(words)
    }

    fn delete(key: String) -> Result<(), String> {
        bucket()?.delete(&key).map_err(words)
    }

    fn exists(key: String) -> Result<bool, String> {
        bucket()?.exists(&key).map_err(words)
    }

    fn keys() -> Result<Vec<String>, String> {
        let bucket = bucket()?;
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let answer = bucket.list_keys(cursor).map_err(words)?;
            keys.extend(answer.keys);
            match answer.cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }

    fn add(key: String, delta: u64) -> Result<u64, String> {
        atomics::increment(&bucket()?, &key, delta).map_err(words)
    }

    fn set_many(entries: Vec<(String, String)>) -> Result<(), String> {
        let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, value.into_bytes())).collect();
        batch::set_many(&bucket()?, &entries).map_err(words)
    }

    fn get_many(keys: Vec<String>) -> Result<Vec<Option<String>>, String> {
        let found = batch::get_many(&bucket()?, &keys).map_err(words)?;
        Ok(found.into_iter().map(|entry| entry.map(|(_, value)| text(value))).collect())
    }

    fn delete_many(keys: Vec<String>) -> Result<(), String> {
        batch::delete_many(&bucket()?, &keys).map_err(words)
    }

    fn append(key: String, word: String) -> Result<u32, String> {
        let bucket = bucket()?;
        let mut cas = Cas::new(&bucket, &key).map_err(words)?;
        for tries in 1.. {
            let mut value = cas.current().map_err(words)?.unwrap_or_default();
            value.extend_from_slice(word.as_bytes());
            match atomics::swap(cas, &value) {
                Ok(()) => return Ok(tries),
                Err(CasError::CasFailed(now)) => cas = now,
                Err(CasError::StoreError(error)) => return Err(words(error)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    fn lose(key: String) -> Result<Option<String>, String> {
        let bucket = bucket()?;
        let cas = Cas::new(&bucket, &key).map_err(words)?;
        bucket.set(&key, b"somebody else's").map_err(words)?;
        match atomics::swap(cas, b"mine") {
            Ok(()) => Err("it was swapped".to_owned()),
            Err(CasError::CasFailed(now)) => Ok(now.current().map_err(words)?.map(text)),
            Err(CasError::StoreError(error)) => Err(words(error)),
        }
    }
}

export!(Tour);
