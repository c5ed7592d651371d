//! Generated fleets of series with labelled anomalies, from a seed. Pure: no
//! I/O, no clock.
