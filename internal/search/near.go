package search

import (
	"math"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// A position is kept as a point in space, in centimetres from the middle of a
// round earth, one entry for each coordinate: the distance along the ground
// follows from that through it.
const (
	radius = 637_100_877 // centimetres
	placeX = ":x"
	placeY = ":y"
	placeZ = ":z"
)

func point(latitude, longitude float64) (x, y, z int64) {
	phi, lambda := latitude*math.Pi/180, longitude*math.Pi/180
	at := func(f float64) int64 { return int64(math.Round(f * radius)) }
	return at(math.Cos(phi) * math.Cos(lambda)), at(math.Cos(phi) * math.Sin(lambda)), at(math.Sin(phi))
}

// coordinates reads a latitude and a longitude in degrees.
func coordinates(latitude, longitude string) (lat, long float64, ok bool) {
	lat, err1 := strconv.ParseFloat(latitude, 64)
	long, err2 := strconv.ParseFloat(longitude, 64)
	return lat, long, err1 == nil && err2 == nil && math.Abs(lat) <= 90 && math.Abs(long) <= 180
}

// lengths gives the units of a distance in centimetres.
var lengths = map[string]float64{"": 100_000, "km": 100_000, "m": 100, "cm": 1, "[mi_us]": 160_934.72, "[mi_i]": 160_934.4, "[ft_i]": 30.48}

// near reads latitude|longitude|distance|units, where the distance is 50 km
// when it is left out and the units are those of UCUM.
func (p Param) near(value string) ([]store.Condition, error) {
	parts := append(split(unescape(value), '|'), "", "")
	lat, long, ok := 0.0, 0.0, false
	if len(parts) >= 4 && len(parts) <= 6 {
		lat, long, ok = coordinates(parts[0], parts[1])
	}
	if !ok {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be latitude|longitude|distance|units, in degrees.", p.Code)
	}
	distance := 50.0
	if parts[2] != "" {
		var err error
		if distance, err = strconv.ParseFloat(parts[2], 64); err != nil || !(distance >= 0) || math.IsInf(distance, 0) {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "The distance of %s must be a number.", p.Code)
		}
	}
	unit, ok := lengths[parts[3]]
	if !ok {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The distance of %s can be in km, m, [mi_us], [mi_i] or [ft_i].", p.Code)
	}
	angle := min(distance*unit/radius, math.Pi)
	m := store.Match{Kind: store.Date, Compare: store.Near, Low: int64(math.Ceil(2*radius*math.Sin(angle/2))) + 1}
	m.Place.X, m.Place.Y, m.Place.Z = point(lat, long)
	return matches(p.Code, m), nil
}

func (ix *indexer) place(p *Param, n fhir.Node) {
	lat, long, ok := coordinates(n.Get("latitude").String(), n.Get("longitude").String())
	if !ok {
		return
	}
	x, y, z := point(lat, long)
	for name, at := range map[string]int64{placeX: x, placeY: y, placeZ: z} {
		ix.add(store.Entry{Param: p.Code + name, Kind: store.Date, Low: at, High: at + 1})
	}
}
