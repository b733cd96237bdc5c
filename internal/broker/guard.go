package broker

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	createTopicsKey = 19
	metadataKey     = 3

	// maxForeign bounds the topics made at the wish of clients since the start.
	maxForeign = 10_000
	// renewAfter is when a hook is replaced: kfake keeps one request per
	// connection for each hook and never lets go of it.
	renewAfter = 1000
)

// guard sets what the broker answers itself.
func (b *Broker) guard(cluster *kfake.Cluster) {
	b.hook(cluster, apiVersionsKey, func(req kmsg.Request) kmsg.Response {
		return apiVersions(req.(*kmsg.ApiVersionsRequest))
	})
	b.hook(cluster, createTopicsKey, func(req kmsg.Request) kmsg.Response {
		return b.createTopics(cluster, req.(*kmsg.CreateTopicsRequest))
	})
	b.hook(cluster, metadataKey, func(req kmsg.Request) kmsg.Response {
		b.createAsked(cluster, req.(*kmsg.MetadataRequest))
		return nil
	})
}

// hook answers the requests of a key; kfake does when the answer is nil. Hooks
// run one at a time.
func (b *Broker) hook(cluster *kfake.Cluster, key int16, answer func(kmsg.Request) kmsg.Response) {
	calls := 0
	cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
		calls++
		if calls == renewAfter {
			b.hook(cluster, key, answer)
			cluster.DropControl()
		} else {
			cluster.KeepControl()
		}
		resp := answer(req)
		return resp, nil, resp != nil
	})
}

// apiVersions tells a client which requests are served.
func apiVersions(req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	for _, s := range served {
		if s.ApiKey == apiVersionsKey && req.Version > s.MaxVersion {
			// As Kafka does: an answer in version 0, with the versions to use.
			resp.Version = 0
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{s}
			return resp
		}
	}
	resp.ApiKeys = append(resp.ApiKeys, served...)
	return resp
}

// createTopics makes topics as all topics here are, whatever the client wants.
func (b *Broker) createTopics(cluster *kfake.Cluster, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for _, asked := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic = asked.Topic
		t.ErrorCode = b.createForeign(cluster, asked.Topic, req.ValidateOnly)
		if info := cluster.TopicInfo(asked.Topic); info != nil {
			t.TopicID, t.NumPartitions, t.ReplicationFactor = info.TopicID, 1, 1
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (b *Broker) createForeign(cluster *kfake.Cluster, name string, validateOnly bool) int16 {
	switch {
	case cluster.TopicInfo(name) != nil:
		return kerr.TopicAlreadyExists.Code
	case b.foreign >= maxForeign:
		return kerr.PolicyViolation.Code
	case validateOnly:
		return 0
	}
	var refused *kerr.Error
	switch err := makeTopic(cluster, name); {
	case errors.As(err, &refused):
		return refused.Code
	case err != nil:
		return kerr.UnknownServerError.Code
	}
	b.foreign++
	return 0
}

// createAsked makes the exchange's own topics that a client asks for and would
// have made: a consumer may be there before the first message.
func (b *Broker) createAsked(cluster *kfake.Cluster, req *kmsg.MetadataRequest) {
	if !req.AllowAutoTopicCreation {
		return
	}
	for _, t := range req.Topics {
		if t.Topic != nil && b.Own(*t.Topic) {
			b.createForeign(cluster, *t.Topic, false)
		}
	}
}
