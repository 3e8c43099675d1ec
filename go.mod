module github.com/streamlatch/streamlatch

go 1.26.0
