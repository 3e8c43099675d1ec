// Package triggertest makes random triggers and events, for tests that compare an evaluator with router.Model.
package triggertest
