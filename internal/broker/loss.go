package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// shortfall is a partition that ends before an offset that the outbox knows to
// have been given out.
type shortfall struct {
	store.Published       // the highest offset that the outbox knows
	end             int64 // where the partition ends
}

func (s shortfall) refusal() error {
	return fmt.Errorf("the embedded Kafka broker has lost messages: topic %s ends before offset %d, but offset %d was given out; "+
		"restore its directory from the backup taken with the database, or start once with --kafka-continue to go on without the lost messages",
		s.Topic, s.end, s.Offset)
}

// shortfalls compares the log with the outbox. If it went unnoticed that the
// log is shorter, offsets would be given out a second time, and consumers who
// have committed them would miss the new messages without a sign.
func (b *Broker) shortfalls(ctx context.Context) (short []shortfall, err error) {
	if b.Outbox == nil {
		return nil, nil
	}
	var last []store.Published
	err = b.Outbox.View(ctx, func(r store.Reader) error {
		last, err = r.LastPublished()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("broker: the outbox cannot be read: %w", err)
	}
	for _, p := range last {
		var end int64
		if info := b.cluster.PartitionInfo(p.Topic, p.Partition); info != nil {
			end = info.HighWatermark
		}
		if end <= p.Offset {
			short = append(short, shortfall{Published: p, end: end})
		}
	}
	return short, nil
}

// repair closes the cluster and puts a control record, which no client shows,
// at the highest offset given out, so that the next message gets the offset
// behind it.
func (b *Broker) repair(short []shortfall) error {
	for _, s := range short {
		if s.Partition != 0 {
			return fmt.Errorf("broker: the outbox knows partition %d of topic %s, which this broker never had: it was another broker's", s.Partition, s.Topic)
		}
		if err := makeTopic(b.cluster, s.Topic); err != nil {
			return fmt.Errorf("broker: topic %q cannot be made: %w", s.Topic, err)
		}
	}
	b.cluster.Close()
	for _, s := range short {
		b.Log.Warn("going on behind lost messages", "topic", s.Topic, "from", s.end, "to", s.Offset)
		if err := b.placeMarker(s); err != nil {
			return fmt.Errorf("broker: topic %s cannot be repaired: %w", s.Topic, err)
		}
	}
	return nil
}

// placeMarker writes a segment that holds one control record. kfake keeps
// segments as plain Kafka record batches, named by their first offset.
func (b *Broker) placeMarker(s shortfall) (err error) {
	dir := filepath.Join(b.log(), "partitions", s.Topic+"-"+strconv.Itoa(int(s.Partition)))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, strconv.FormatInt(s.Offset, 10)+".dat"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(marker(s.Offset, b.Clock().UnixMilli())); err != nil {
		return err
	}
	return f.Sync()
}

// marker is a record batch with the end of an aborted, empty transaction.
func marker(offset, now int64) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	var end kmsg.EndTxnMarker
	record := kmsg.Record{Key: key.AppendTo(nil), Value: end.AppendTo(nil)}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // the length is a single byte
	batch := kmsg.RecordBatch{
		FirstOffset:    offset,
		Magic:          2,
		Attributes:     0b11_0000, // transactional, control
		FirstTimestamp: now,
		MaxTimestamp:   now,
		ProducerID:     0,
		FirstSequence:  -1,
		NumRecords:     1,
		Records:        record.AppendTo(nil),
	}
	const behindLength, behindCRC = 12, 21 // bytes of the batch
	raw := batch.AppendTo(nil)
	batch.Length = int32(len(raw) - behindLength)
	raw = batch.AppendTo(nil)
	batch.CRC = int32(crc32.Checksum(raw[behindCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}
