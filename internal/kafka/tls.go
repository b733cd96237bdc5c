package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS reads how to talk to the brokers from PEM files. ca holds the
// certificates that those of the brokers must stand on, those of the system
// when empty; certificate and key are the exchange's own, none when empty.
func TLS(ca, certificate, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("kafka: the certificates of the authority cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("kafka: %s holds no certificate", ca)
		}
	}
	if certificate == "" && key == "" {
		return c, nil
	}
	if certificate == "" || key == "" {
		return nil, errors.New("kafka: a certificate and its key go together")
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("kafka: the certificate of the exchange cannot be used: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
