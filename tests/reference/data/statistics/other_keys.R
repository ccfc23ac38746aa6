# Cases in the layout of the other files, on other data: survival::pbc, gbsg, colon, veteran, MASS::birthwt, drawn tables.
# R 4.2.2; survival 3.5-3, rms 6.5-0, pROC 1.18.0, Hmisc 4.8-0, psych 2.2.9, cluster, MASS, preprocessCore, limma.
suppressMessages({ library(survival); library(MASS); library(rms); library(pROC); library(psych); library(cluster)
  library(preprocessCore); library(limma); library(jsonlite) })
set.seed(20)
out <- list()
b <- birthwt
b$race <- NULL
nums <- function(x) as.numeric(x)

# dca has no package here: its definition by hand, positive at p >= t.
# two samples
two <- function(x, y) {
  v <- c(x, y); g <- rep(c("x", "y"), c(length(x), length(y)))
  w <- function(...) { k <- suppressWarnings(wilcox.test(x, y, conf.int = TRUE, ...))
    list(W = unname(k$statistic), p = k$p.value, hodges_lehmann = unname(k$estimate), ci = nums(k$conf.int)) }
  t1 <- t.test(x, y); t2 <- t.test(x, y, var.equal = TRUE); s <- shapiro.test(x)
  ks <- suppressWarnings(ks.test(x, y))
  list(input = list(value = v, group = g), values = list(exact = w(exact = TRUE), normal_corr = w(exact = FALSE),
    normal_nocorr = w(exact = FALSE, correct = FALSE), default = list(p = suppressWarnings(wilcox.test(x, y))$p.value),
    welch = list(t = unname(t1$statistic), df = unname(t1$parameter), p = t1$p.value, ci = nums(t1$conf.int)),
    student = list(t = unname(t2$statistic), p = t2$p.value), shapiro_x = list(W = unname(s$statistic), p = s$p.value),
    bartlett_p = bartlett.test(v, g)$p.value, ks = list(D = unname(ks$statistic), p = ks$p.value)))
}
out$two_sample <- list(birthwt_lwt = two(b$lwt[b$low == 1], b$lwt[b$low == 0]), birthwt_age = two(b$age[b$low == 1], b$age[b$low == 0]),
  pbc_bili = two(pbc$bili[pbc$sex == "m"], pbc$bili[pbc$sex == "f"]), drawn_small = two(round(rnorm(9), 3), round(rnorm(12, .8, 2), 3)))

# several groups
groups <- function(x, g) {
  k <- kruskal.test(x, g); a <- summary(aov(x ~ factor(g)))[[1]]; o <- oneway.test(x ~ factor(g))
  p <- suppressWarnings(pairwise.wilcox.test(x, g, p.adjust.method = "holm", exact = FALSE))$p.value
  r <- function(m) suppressWarnings(cor.test(x, g, method = m, exact = FALSE)); pe <- cor.test(x, g)
  list(input = list(value = x, group = g), values = list(kruskal = list(H = unname(k$statistic), df = unname(k$parameter), p = k$p.value),
    anova = list(F = a[1, 4], p = a[1, 5]), welch_anova = list(F = unname(o$statistic), df = unname(o$parameter), p = o$p.value),
    pairwise_wilcox_holm = list(rows = rownames(p), cols = colnames(p), data = unname(p)),
    spearman = list(rho = unname(r("spearman")$estimate), p = r("spearman")$p.value),
    kendall = list(tau = unname(r("kendall")$estimate), p = r("kendall")$p.value),
    pearson = list(r = unname(pe$estimate), p = pe$p.value, ci = nums(pe$conf.int))))
}
out$k_sample <- list(birthwt_lwt_race = groups(birthwt$lwt, birthwt$race), pbc_albumin_stage = with(pbc[!is.na(pbc$stage), ], groups(albumin, stage)))

# contingency
table2 <- function(m) {
  m <- unname(m); c0 <- suppressWarnings(chisq.test(m, correct = FALSE)); c1 <- suppressWarnings(chisq.test(m)); f <- fisher.test(m)
  v <- list(table = unname(m), chisq_nocorrect = list(X2 = unname(c0$statistic), df = unname(c0$parameter), p = c0$p.value, expected = unname(c0$expected)),
    chisq_default = list(X2 = unname(c1$statistic), p = c1$p.value), fisher = list(p = f$p.value))
  if (all(dim(m) == 2)) { v$fisher <- list(p = f$p.value, conditional_OR = unname(f$estimate), ci = nums(f$conf.int),
      p_greater = fisher.test(m, alternative = "greater")$p.value, p_less = fisher.test(m, alternative = "less")$p.value)
    a <- mcnemar.test(m); n <- mcnemar.test(m, correct = FALSE)
    v$mcnemar_default <- list(X2 = unname(a$statistic), p = a$p.value); v$mcnemar_nocorrect <- list(X2 = unname(n$statistic), p = n$p.value) }
  list(values = v)
}
m <- function(...) matrix(c(...), 2)
out$contingency <- list(smoke_low = table2(unclass(table(b$smoke, b$low))), race_low = table2(unclass(table(birthwt$race, birthwt$low))),
  strong = table2(m(16, 1, 2, 15)), very_strong = table2(m(30, 2, 1, 28)), sparse = table2(m(1, 9, 7, 2)), zero_left = table2(m(0, 5, 8, 4)),
  pbc_stage_status = table2(unclass(table(pbc$stage[1:60], pbc$status[1:60]))), four_by_four = table2(matrix(c(3, 1, 0, 2, 4, 2, 1, 0, 2, 5, 3, 1, 0, 1, 4, 6), 4)))

# p.adjust
p <- c(round(runif(20)^3, 4), NA, .03, .03, 1, 0)
out$p_adjust <- list(drawn = list(input = list(p = p), values = sapply(c("holm", "hochberg", "hommel", "BH", "BY", "bonferroni"), function(k) p.adjust(p, k), simplify = FALSE)))

# logistic
binary <- function(d, y, x) {
  f <- as.formula(paste(y, "~", paste(x, collapse = " + "))); g <- glm(f, binomial, d, control = list(epsilon = 1e-14, maxit = 100))
  s <- summary(g)$coefficients; l <- lrm(f, d, x = TRUE, y = TRUE, eps = 1e-9); pr <- fitted(g)
  ci <- suppressMessages(confint(g)); w <- confint.default(g); v <- val.prob(pr, d[[y]], pl = FALSE)
  list(input = c(d[x], setNames(list(d[[y]]), y)), values = list(formula = paste(y, "~", paste(x, collapse = " + ")), terms = rownames(s), coef = nums(s[, 1]),
    se = nums(s[, 2]), z = nums(s[, 3]), p = nums(s[, 4]), OR = nums(exp(s[, 1])), OR_wald_ci = unname(exp(w)), OR_profile_ci = unname(exp(ci)),
    deviance = deviance(g), null_deviance = g$null.deviance, AIC = AIC(g), rms_stats = as.list(l$stats), val_prob = as.list(v)))
}
pb <- na.omit(transform(pbc, dead = as.integer(status == 2), lb = log(bili))[c("dead", "age", "lb", "albumin", "edema")])
out$logistic <- list(birthwt = binary(b, "low", c("age", "lwt", "smoke", "ht")), pbc = binary(pb, "dead", c("age", "lb", "albumin", "edema")))

# roc
curve <- function(d, y, a, c) {
  r1 <- roc(d[[y]], d[[a]], direction = "<", levels = c(0, 1), quiet = TRUE); r2 <- roc(d[[y]], d[[c]], direction = "<", levels = c(0, 1), quiet = TRUE)
  t <- roc.test(r1, r2, method = "delong", paired = TRUE); u <- roc.test(r1, r2, method = "delong", paired = FALSE)
  cols <- c("threshold", "sensitivity", "specificity", "ppv", "npv", "accuracy", "tp", "fp", "tn", "fn", "youden")
  best <- function(k) { z <- coords(r1, "best", best.method = k, ret = cols, transpose = FALSE); lapply(seq_len(nrow(z)), function(i) as.list(z[i, ])) }
  pa <- suppressWarnings(try(auc(r1, partial.auc = c(1, .8), partial.auc.correct = TRUE), silent = TRUE))
  list(input = d[c(y, a, c)], values = list(y = y, marker1 = a, marker2 = c, auc1 = nums(auc(r1)), auc2 = nums(auc(r2)), delong_var1 = var(r1), delong_var2 = var(r2),
    delong_cov = cov(r1, r2), ci_delong1 = nums(ci.auc(r1))[c(1, 3)], ci_delong2 = nums(ci.auc(r2))[c(1, 3)],
    paired_delong = list(Z = unname(t$statistic), p = t$p.value, diff_ci = nums(t$conf.int)),
    unpaired_delong = list(D = unname(u$statistic), df = unname(u$parameter), p = u$p.value), youden = best("youden"), closest_topleft = best("closest.topleft"),
    `pauc_spec_1_0.8` = nums(auc(r1, partial.auc = c(1, .8))), pauc_corrected = nums(pa)))
}
out$roc <- list(pbc = curve(pb, "dead", "lb", "age"), birthwt_ties = curve(transform(b, thin = -lwt), "low", "thin", "smoke"))

# improveProb
p1 <- fitted(glm(low ~ age + lwt, binomial, b)); p2 <- fitted(glm(low ~ age + lwt + smoke + ht, binomial, b))
h <- Hmisc::improveProb(p1, p2, b$low)
out$nri_idi <- list(birthwt = list(input = list(y = b$low, p1 = nums(p1), p2 = nums(p2)), values = lapply(unclass(h), nums)))

# clusters
tree <- function(x) {
  d <- dist(x); one <- function(h) list(merge = h$merge, height = h$height, order = h$order, cut2 = cutree(h, 2), cut3 = cutree(h, 3), cut4 = cutree(h, 4))
  v <- sapply(c("ward.D", "ward.D2", "complete", "average", "single"), function(k) one(hclust(d, k)), simplify = FALSE)
  h <- hclust(as.dist(1 - cor(t(x))), "average"); v$average_1_minus_cor <- list(height = h$height, cut3 = cutree(h, 3))
  v$spearman_height <- hclust(as.dist(1 - cor(t(x), method = "spearman")), "average")$height
  v$silhouette_ward.D2_k3 <- mean(silhouette(cutree(hclust(d, "ward.D2"), 3), d)[, 3])
  k <- pam(x, 3); v$pam3 <- list(medoids = k$id.med, objective = unname(k$objective))
  list(input = as.list(as.data.frame(x)), values = v)
}
out$hclust <- list(iris = tree(unname(scale(as.matrix(iris[seq(1, 150, 4), 1:4] + 0))) + matrix(rnorm(38 * 4, 0, 1e-3), 38)), drawn = tree(matrix(rnorm(30 * 9), 30)))

# agreement
rate <- function(x) { k <- suppressWarnings(ICC(x, lmer = FALSE))$results
  list(ratings = unname(x), psych = list(type = k$type, ICC = k$ICC, F = k$F, df1 = k$df1, df2 = k$df2, p = k$p, lower = k$`lower bound`, upper = k$`upper bound`)) }
s <- rnorm(25); out$icc <- list(drawn = rate(cbind(s + rnorm(25, 0, .4), s + .3 + rnorm(25, 0, .4), s + rnorm(25, 0, .6))), poor = rate(matrix(round(rnorm(24), 2), 8)))
kap <- function(x) { k <- suppressWarnings(cohen.kappa(x)); list(ratings = unname(x), values = list(psych_kappa = k$kappa, psych_ci = list(rows = rownames(k$confid), cols = colnames(k$confid), data = unname(k$confid)))) }
g <- sample(1:4, 60, TRUE); out$kappa <- list(drawn = kap(cbind(g, ifelse(runif(60) < .6, g, sample(1:4, 60, TRUE)))))

# quantile normalisation
q <- function(x) { half <- sort(rnorm(nrow(x) %/% 2)); list(input = x, preprocessCore = normalize.quantiles(x), target = normalize.quantiles.determine.target(x),
  half = list(target = half, result = normalize.quantiles.use.target(x, half)), limma_ties = normalizeQuantiles(x, ties = TRUE), limma_ties_false = normalizeQuantiles(x, ties = FALSE)) }
x <- matrix(rnorm(60), 20); y <- matrix(sample(1:9, 60, TRUE) + 0, 20); z <- x; z[sample(60, 7)] <- NA
out$quantile_norm <- list(plain = q(x), ties = q(y), missing = q(z))

# matrices as rows, NA and NaN and Inf as null
clean <- function(k) if (is.list(k)) lapply(k, clean) else if (is.numeric(k)) { k[!is.finite(k)] <- NA; k } else k
writeLines(toJSON(clean(out), digits = NA, auto_unbox = TRUE, na = "null"), gzfile("other_keys.json.gz"))
