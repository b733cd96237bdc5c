package exchange

import "sync/atomic"

// Judged counts the documents that validation has judged on their way in, each
// time that it did.
type Judged struct {
	Clean   uint64 // nothing to be said
	Warned  uint64 // taken, with warnings
	Refused uint64
}

type judgements struct{ clean, warned, refused atomic.Uint64 }

func (j *judgements) note(warned bool, refused error) {
	switch {
	case refused != nil:
		j.refused.Add(1)
	case warned:
		j.warned.Add(1)
	default:
		j.clean.Add(1)
	}
}

// Judged tells what has become of what came in.
func (s *Service) Judged() Judged {
	return Judged{s.judged.clean.Load(), s.judged.warned.Load(), s.judged.refused.Load()}
}
