package broker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// served lists the requests that clients may send, with their versions. What
// could delete or change topics, records or settings is not among them.
var served = []kmsg.ApiVersionsResponseApiKey{
	{ApiKey: 0, MinVersion: 3, MaxVersion: 13}, // Produce
	{ApiKey: 1, MinVersion: 4, MaxVersion: 18}, // Fetch
	{ApiKey: 2, MinVersion: 0, MaxVersion: 10}, // ListOffsets
	{ApiKey: 3, MinVersion: 0, MaxVersion: 13}, // Metadata
	{ApiKey: 8, MinVersion: 0, MaxVersion: 10}, // OffsetCommit
	{ApiKey: 9, MinVersion: 0, MaxVersion: 10}, // OffsetFetch
	{ApiKey: 10, MinVersion: 0, MaxVersion: 6}, // FindCoordinator
	{ApiKey: 11, MinVersion: 0, MaxVersion: 9}, // JoinGroup
	{ApiKey: 12, MinVersion: 0, MaxVersion: 4}, // Heartbeat
	{ApiKey: 13, MinVersion: 0, MaxVersion: 5}, // LeaveGroup
	{ApiKey: 14, MinVersion: 0, MaxVersion: 5}, // SyncGroup
	{ApiKey: 15, MinVersion: 0, MaxVersion: 6}, // DescribeGroups
	{ApiKey: 16, MinVersion: 0, MaxVersion: 5}, // ListGroups
	{ApiKey: 17, MinVersion: 0, MaxVersion: 1}, // SaslHandshake; librdkafka insists on a listed version 0
	{ApiKey: 18, MinVersion: 0, MaxVersion: 4}, // ApiVersions
	{ApiKey: 19, MinVersion: 0, MaxVersion: 7}, // CreateTopics
	{ApiKey: 22, MinVersion: 0, MaxVersion: 5}, // InitProducerID
	{ApiKey: 23, MinVersion: 3, MaxVersion: 4}, // OffsetForLeaderEpoch
	{ApiKey: 32, MinVersion: 0, MaxVersion: 4}, // DescribeConfigs
	{ApiKey: 35, MinVersion: 0, MaxVersion: 5}, // DescribeLogDirs
	{ApiKey: 36, MinVersion: 0, MaxVersion: 2}, // SaslAuthenticate
	{ApiKey: 42, MinVersion: 0, MaxVersion: 3}, // DeleteGroups
	{ApiKey: 47, MinVersion: 0, MaxVersion: 0}, // OffsetDelete
	{ApiKey: 60, MinVersion: 0, MaxVersion: 2}, // DescribeCluster
	{ApiKey: 68, MinVersion: 0, MaxVersion: 1}, // ConsumerGroupHeartbeat
	{ApiKey: 69, MinVersion: 0, MaxVersion: 1}, // ConsumerGroupDescribe
	{ApiKey: 75, MinVersion: 0, MaxVersion: 0}, // DescribeTopicPartitions
}

const apiVersionsKey = 18

// allows tells whether a request may pass. ApiVersions passes in any version:
// clients learn from the answer which one to use.
func allows(key, version int16) bool {
	if key == apiVersionsKey {
		return version >= 0
	}
	for _, s := range served {
		if s.ApiKey == key {
			return version >= s.MinVersion && version <= s.MaxVersion
		}
	}
	return false
}

const (
	maxFrame  = 32 << 20
	idleLimit = 15 * time.Minute // without a request; consumers ask every few seconds
	slowLimit = time.Minute      // for the rest of a request that has begun
)

var errNotServed = errors.New("broker: not a request that is served")

// conn lets only requests pass that are served and not too large: kfake would
// make room for 4 GiB at the word of any client, and crash the program on a
// request that it does not know.
type conn struct {
	net.Conn
	leave func()  // makes room for another connection
	head  [8]byte // of the request: size, key, version
	have  int     // bytes of head that are not yet read on
	left  int     // bytes of the request behind head
}

// Read gives bytes of requests that may pass.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.have == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if c.have > 0 {
		n := copy(p, c.head[len(c.head)-c.have:])
		c.have -= n
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next reads the beginning of a request.
func (c *conn) next() error {
	if err := c.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(c.head[:])
	key := int16(binary.BigEndian.Uint16(c.head[4:]))
	version := int16(binary.BigEndian.Uint16(c.head[6:]))
	if size < 8 || size > maxFrame || !allows(key, version) {
		return errNotServed
	}
	c.have, c.left = len(c.head), int(size)-4
	return c.SetReadDeadline(time.Now().Add(slowLimit))
}

// Close ends the connection and makes room for another.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
