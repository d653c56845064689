use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{RequestName, Value, Version};

/// The last writes of a key to which their clients gave a name, the newest last: what tells a retry from a new write. They
/// are part of what the key holds, and go wherever that goes. A clone shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Requests(Option<Arc<[Request]>>);

/// A write to which its client gave a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The name.
    pub id: RequestName,
    /// The version that the write was given.
    pub version: Version,
    /// Stands for what was asked: see [`Request::asked_by`].
    pub asked: u64,
}

impl Request {
    /// What a write asks for, in a number: whether it sets or deletes, the text of the value, and for which version it is made.
    /// Two that differ have the same number with a probability of 2⁻⁶⁴.
    pub fn asked_by(value: Option<&Value>, if_version: Option<u64>) -> u64 {
        let mut hash = Xxh3::new();
        match if_version {
            None => hash.update(&[0]),
            Some(version) => {
                hash.update(&[1]);
                hash.update(&version.to_le_bytes());
            }
        }
        if let Some(value) = value {
            hash.update(&[1]);
            hash.update(value.as_json().as_bytes());
        }
        hash.digest()
    }
}

impl Requests {
    /// The most that a key remembers.
    pub const MOST: usize = 8;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The write of this name, if it is remembered.
    pub fn find(&self, id: &RequestName) -> Option<&Request> {
        self.iter().find(|request| request.id == *id)
    }

    /// With one more. The oldest goes if there were as many as can be.
    #[must_use]
    pub fn with(&self, request: Request) -> Self {
        let mut all: Vec<Request> = self.iter().filter(|known| known.id != request.id).cloned().collect();
        all.push(request);
        let too_many = all.len().saturating_sub(Self::MOST);
        Self(Some(all.into_iter().skip(too_many).collect()))
    }

    /// What they take in memory, in bytes.
    pub fn size(&self) -> usize {
        self.iter().map(|request| size_of::<Request>() + request.id.as_str().len()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = &Request> {
        self.0.iter().flat_map(|requests| requests.iter())
    }
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let requests = Vec::<Request>::deserialize(deserializer)?;
        match requests.len() {
            0 => Ok(Self::default()),
            1..=Self::MOST => Ok(Self(Some(requests.into()))),
            got => {
                Err(serde::de::Error::custom(format!("requests: {got} are too many; at most {} can be", Self::MOST)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u64) -> Request {
        let id = RequestName::new(&format!("r{number}")).unwrap();
        Request { id, version: Version::new(number).unwrap(), asked: number }
    }

    #[test]
    fn the_last_eight_are_remembered() {
        let all = (1..=10).fold(Requests::default(), |requests, number| requests.with(request(number)));
        for number in 1..=10 {
            assert_eq!(all.find(&request(number).id), (number > 2).then(|| request(number)).as_ref());
        }
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Requests>(&text).unwrap(), all);
        let nine = format!("{},{}", &text[..text.len() - 1], &text[1..]);
        let message = serde_json::from_str::<Requests>(&nine).unwrap_err().to_string();
        assert!(message.contains("16 are too many; at most 8 can be"), "{message}");
    }

    #[test]
    fn what_is_asked_is_told_apart() {
        let value = |json| Value::from_json(json).unwrap();
        let (one, two) = (value("1"), value("2"));
        let all = [
            (None, None),
            (None, Some(0)),
            (None, Some(1)),
            (Some(&one), None),
            (Some(&one), Some(1)),
            (Some(&two), None),
        ];
        let numbers: std::collections::BTreeSet<u64> =
            all.iter().map(|(value, version)| Request::asked_by(*value, *version)).collect();
        assert_eq!(numbers.len(), all.len());
    }
}
