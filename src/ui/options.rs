//! Choices of the user about how things look and behave.

use serde::{Deserialize, Serialize};

use crate::volume::Density;

/// How the score of a pick shows in the views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreCue {
    /// By the width of its line.
    #[default]
    Thickness,
    /// By its opacity.
    Opacity,
    /// Not at all.
    Nothing,
}

impl ScoreCue {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Thickness, "thickness"), (Self::Opacity, "opacity"), (Self::Nothing, "nothing")];
}

/// Where the overview in three dimensions is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverviewPlace {
    /// Nowhere.
    #[default]
    Hidden,
    /// Below the side views.
    Beside,
    /// In the place of the XY view, which then is beside it.
    Large,
}

impl OverviewPlace {
    /// Hidden becomes shown, and anything else hidden.
    pub fn toggled(self) -> Self {
        if self == Self::Hidden { Self::Beside } else { Self::Hidden }
    }
}

/// Whether a click is moved to the middle of the density near it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Snap {
    /// A point stays where the click was.
    #[default]
    Off,
    /// To dark or bright density, whichever there is.
    Automatic,
    /// To dark density.
    Dark,
    /// To bright density.
    Bright,
}

impl Snap {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Off, "no snapping"),
        (Self::Automatic, "snap to density"),
        (Self::Dark, "snap to dark"),
        (Self::Bright, "snap to bright"),
    ];

    /// The density to look for; `None` when clicks stay as they are.
    pub fn density(self) -> Option<Density> {
        match self {
            Self::Off => None,
            Self::Automatic => Some(Density::Automatic),
            Self::Dark => Some(Density::Dark),
            Self::Bright => Some(Density::Bright),
        }
    }
}

/// How often a run in progress refreshes the heatmap and the picks of the tomogram on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveRate {
    /// Never: all the time goes to training.
    Off,
    /// Now and then.
    Low,
    /// All the time.
    Live,
}

impl LiveRate {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Off, "off"), (Self::Low, "low"), (Self::Live, "live")];

    /// The setting of the training that it stands for, in seconds between two refreshes.
    pub fn secs(self) -> Option<f64> {
        match self {
            Self::Off => None,
            Self::Low => Some(15.0),
            Self::Live => Some(3.0),
        }
    }

    /// The rate that is nearest to a setting of the training.
    pub fn of(secs: Option<f64>) -> Self {
        match secs {
            None => Self::Off,
            Some(secs) if secs > 8.0 => Self::Low,
            Some(_) => Self::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_survive_the_setting() {
        for (rate, _) in LiveRate::ALL {
            assert_eq!(LiveRate::of(rate.secs()), rate);
        }
        assert!(LiveRate::Low.secs() > LiveRate::Live.secs());
    }

    #[test]
    fn the_overview_goes_and_comes() {
        assert_eq!(OverviewPlace::Hidden.toggled(), OverviewPlace::Beside);
        assert_eq!(OverviewPlace::Large.toggled(), OverviewPlace::Hidden);
    }
}
