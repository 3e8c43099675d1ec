package main

import (
	"context"
	"time"
)

// calm keeps other programs of this machine out of the figures, as far as patience goes: it waits until they are quiet, and has measured again what they
// disturbed.
type calm struct {
	share    float64       // of the machine's CPU time that they may take
	patience time.Duration // for waiting and for repeats, all together; what is left of it
}

// wait waits until other programs leave the machine alone, or patience is used up.
func (c *calm) wait(ctx context.Context) error {
	const look = time.Second
	for c.patience > 0 && c.share < 1 {
		before, err := readAccount()
		if err != nil {
			return err
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		after, err := readAccount()
		if err != nil {
			return err
		}
		if after.othersSince(before) <= c.share {
			return nil
		}
		c.patience -= look
	}
	return nil
}

// repeat tells whether a measurement during which other programs took a share has to be made again.
func (c *calm) repeat(others float64, took time.Duration) bool {
	if others <= c.share || c.patience <= 0 {
		return false
	}
	c.patience -= took
	return true
}
