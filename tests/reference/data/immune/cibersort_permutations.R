# The published CIBERSORT procedure in R (e1071 1.7-13), on synthetic weak mixtures whose p-values spread over [0, 1].
# Rscript cibersort_permutations.R  -> cibersort_permutations_{signature,mixture,expected}.csv
suppressMessages(library(e1071))
set.seed(20)
genes <- sprintf("GENE%03d", 1:120)
X0 <- matrix(round(exp(rnorm(120 * 8, 4, 1.2)), 3), 120, dimnames = list(genes, sprintf("Cell_%d", 1:8)))
strength <- rep(c(0, 0.02, 0.05, 0.1, 0.2, 0.5), each = 4)
Y0 <- sapply(strength, function(s) {
  f <- rexp(8); f <- f / sum(f)
  round(s * drop(X0 %*% f) + (1 - s) * exp(rnorm(120, 4, 1.2)), 3)
})
dimnames(Y0) <- list(genes, sprintf("S%02d", seq_along(strength)))
write.csv(X0, "cibersort_permutations_signature.csv")
write.csv(Y0, "cibersort_permutations_mixture.csv")
X <- (X0 - mean(X0)) / sd(as.vector(X0))
core <- function(y) {
  best <- list(rmse = Inf)
  for (nu in c(.25, .5, .75)) {
    m <- svm(X, y, type = "nu-regression", kernel = "linear", nu = nu, scale = FALSE)
    w <- t(m$coefs) %*% m$SV; w[w < 0] <- 0
    k <- drop(X %*% drop(w / sum(w))); rmse <- sqrt(mean((k - y)^2))
    if (is.finite(rmse) && rmse < best$rmse) best <- list(rmse = rmse, w = drop(w / sum(w)), q = drop(w), r = cor(k, y), nu = nu)
  }
  best
}
z <- function(v) (v - mean(v)) / sd(v)
n <- 1000
pool <- as.vector(Y0)
draw <- function() { repeat { r <- core(z(sample(pool, nrow(X))))$r; if (!is.null(r)) return(r) } }
null <- sort(replicate(n, draw()))
rows <- t(sapply(seq_len(ncol(Y0)), function(j) {
  b <- core(z(Y0[, j])); S <- median(Y0[, j]) / max(median(Y0), 1)
  c(b$w, p_value = 1 - which.min(abs(null - b$r)) / n, correlation = b$r, rmse = b$rmse, nu = b$nu,
    sig_score = sum(b$w * S), no_sumto1 = sum(b$q))
}))
rownames(rows) <- colnames(Y0)
write.csv(format(rows, digits = 15), "cibersort_permutations_expected.csv", quote = FALSE)
