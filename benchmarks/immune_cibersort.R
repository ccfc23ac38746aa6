# The published CIBERSORT core on e1071, timed: Rscript immune_cibersort.R FOLDER N_MIXTURES N_PERMUTATIONS
suppressMessages(library(e1071))
args <- commandArgs(TRUE); folder <- args[1]; S <- as.integer(args[2]); P <- as.integer(args[3])
B <- as.matrix(read.csv(file.path(folder, "B.csv"), header = FALSE)); Y <- as.matrix(read.csv(file.path(folder, "Y.csv"), header = FALSE))
X <- (B - mean(B)) / sd(as.vector(B))
core <- function(y) {
  best <- NULL; least <- Inf; r <- NA
  for (nu in c(.25, .5, .75)) {
    m <- svm(X, y, type = "nu-regression", kernel = "linear", nu = nu, scale = FALSE)
    w <- t(m$coefs) %*% m$SV; w[w < 0] <- 0; w <- drop(w / sum(w)); k <- drop(X %*% w)
    rmse <- sqrt(mean((k - y)^2)); if (rmse < least) { least <- rmse; best <- w; r <- cor(k, y) }
  }
  c(best, r)
}
z <- function(v) (v - mean(v)) / sd(v)
if (S > 0) {
  t <- system.time(W <- sapply(seq_len(S), function(j) core(z(Y[, j]))))[c(1, 3)]
  write.table(t(W), file.path(folder, "R_fractions.csv"), sep = ",", row.names = FALSE, col.names = FALSE)
  cat("mixtures", t, "\n")
}
if (P > 0) {
  set.seed(1); pool <- as.vector(Y)
  t <- system.time(for (i in seq_len(P)) core(z(sample(pool, nrow(X)))))[c(1, 3)]
  cat("permutations", t, "\n")
}
