package app

import (
	"io"
	"log/slog"
)

// Logger makes the log that the configuration asks for: one line an event,
// with names for all that varies.
func (c Config) Logger(w io.Writer) (*slog.Logger, error) {
	var o slog.HandlerOptions
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, usage("JUMPA_LOG_LEVEL: %q is none of debug, info, warn and error", c.LogLevel)
	}
	o.Level = level
	switch c.Log {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	}
	return nil, usage("JUMPA_LOG: %q is neither text nor json", c.Log)
}
